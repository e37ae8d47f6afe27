"""Parse the location of a gallery: a folder, or an address in Milvus."""

import re
from dataclasses import dataclass
from pathlib import Path

from onelook.errors import GalleryError

PREFIX = "milvus:"
DEFAULT_NAME = "gallery"
ADDRESS_FORMS = "milvus:FILE.db[/NAME] or milvus:http://HOST:PORT[/NAME]"
_DATABASE = re.compile(r"(?P<uri>.+?\.db)(/(?P<name>[^/]*))?")
_SERVER = re.compile(r"(?P<uri>https?://[^/]+)(/(?P<name>[^/]*))?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True)
class MilvusAddress:
    """The address of a gallery in Milvus.

    Attributes:
        uri: path of a milvus-lite database, which ends in .db, or http address of a server.
        name: name of the gallery in it.
    """

    uri: str
    name: str = DEFAULT_NAME

    def __str__(self) -> str:
        return f"{PREFIX}{self.uri}/{self.name}"

    @property
    def is_embedded(self) -> bool:
        """Return whether it is a milvus-lite database, which only one process at a time can open."""
        return not self.uri.startswith(("http://", "https://"))


Location = Path | MilvusAddress


def parse_location(address: str | Location) -> Location:
    """Parse `milvus:people.db`, `milvus:http://host:19530/staff` or the path of a folder.

    Raises:
        GalleryError: it begins with `milvus:` and is no valid address, or contains a password.
    """
    if not isinstance(address, str):
        return address
    if not address.startswith(PREFIX):
        return Path(address)
    uri = address.removeprefix(PREFIX)
    if "@" in uri and uri.startswith("http"):
        raise GalleryError("the address of Milvus holds a password, which would be shown; use ONELOOK_MILVUS_TOKEN")
    match = (_SERVER if uri.startswith("http") else _DATABASE).fullmatch(uri)
    if match is None:
        raise GalleryError(f"{address}: no address of Milvus; needed is {ADDRESS_FORMS}")
    name = match["name"] or DEFAULT_NAME
    if not _NAME.fullmatch(name):
        raise GalleryError(f"{address}: {name} cannot name a gallery; use letters, digits and _, a letter first")
    return MilvusAddress(match["uri"], name)
