"""Reaching Milvus, and what it refuses told in one line."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onelook.errors import GalleryError
from onelook.gallery.location import MilvusAddress

TOKEN = "ONELOOK_MILVUS_TOKEN"
_SECONDS = 60.0


def connect(address: MilvusAddress) -> Any:
    """A client of the database or server at an address; a database is made where there is none.

    Raises:
        GalleryError: it cannot be reached, or the packages are not installed.
    """
    try:
        import pymilvus
        from pymilvus.exceptions import MilvusException

        if address.embedded:
            import milvus_lite  # noqa: F401
    except ImportError as error:
        raise GalleryError(f"{address}: needs the packages of Milvus; `pip install 'onelook[milvus]'`") from error
    for chatty in ("pymilvus", "milvus_lite"):  # they print a traceback for what is raised and told here in one line
        logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
    if address.embedded:
        Path(address.uri).parent.mkdir(parents=True, exist_ok=True)
    try:
        return pymilvus.MilvusClient(address.uri, token=os.environ.get(TOKEN, ""), timeout=_SECONDS)
    except MilvusException as error:
        why = (
            "another process has it open, one at a time can; end that one, or run a Milvus server"
            if address.embedded
            else f"{_one_line(error)}; is its address right, and {TOKEN} set?"
        )
        raise GalleryError(f"{address}: cannot be opened: {why}") from error


@contextmanager
def told(address: MilvusAddress) -> Iterator[None]:
    """Raise what Milvus refuses as a GalleryError."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise GalleryError(f"{address}: Milvus says: {_one_line(error)}; mend that, then try again") from error


def absent(address: MilvusAddress) -> str:
    """The line for a gallery that is not there."""
    return f"{address}: no such gallery; `onelook enroll NAME PHOTO` starts one"


def _one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", error)).split())
