"""Where a gallery is: a folder, or collections in Milvus."""

import re
from dataclasses import dataclass
from pathlib import Path

from onelook.errors import GalleryError

PREFIX = "milvus:"
DEFAULT_NAME = "gallery"
FORMS = "milvus:FILE.db[/NAME] or milvus:http://HOST:PORT[/NAME]"
_EMBEDDED = re.compile(r"(?P<uri>.+?\.db)(/(?P<name>[^/]*))?")
_SERVER = re.compile(r"(?P<uri>https?://[^/]+)(/(?P<name>[^/]*))?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True)
class MilvusAddress:
    """A gallery in Milvus.

    Attributes:
        uri: the path of a milvus-lite database, which ends in .db, or the http address of a server.
        name: of the gallery in it.
    """

    uri: str
    name: str = DEFAULT_NAME

    def __str__(self) -> str:
        return f"{PREFIX}{self.uri}/{self.name}"

    @property
    def embedded(self) -> bool:
        """Whether it is a milvus-lite database, which one process at a time has open."""
        return not self.uri.startswith(("http://", "https://"))


Location = Path | MilvusAddress


def parse_location(address: str | Location) -> Location:
    """The place that an address names: `milvus:people.db`, `milvus:http://host:19530/staff`, or a folder.

    Raises:
        GalleryError: it begins with `milvus:` and is no address of Milvus, or has a password in it.
    """
    if not isinstance(address, str):
        return address
    if not address.startswith(PREFIX):
        return Path(address)
    told = address.removeprefix(PREFIX)
    if "@" in told and told.startswith("http"):
        raise GalleryError("the address of Milvus holds a password, which would be shown; use ONELOOK_MILVUS_TOKEN")
    found = (_SERVER if told.startswith("http") else _EMBEDDED).fullmatch(told)
    if found is None:
        raise GalleryError(f"{address}: no address of Milvus; needed is {FORMS}")
    name = found["name"] or DEFAULT_NAME
    if not _NAME.fullmatch(name):
        raise GalleryError(f"{address}: {name} cannot name a gallery; use letters, digits and _, a letter first")
    return MilvusAddress(found["uri"], name)
