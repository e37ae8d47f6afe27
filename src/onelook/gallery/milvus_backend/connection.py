"""Connect to Milvus, and convert its exceptions to one-line errors."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from onelook.errors import GalleryError
from onelook.gallery.location import MilvusAddress

TOKEN_VARIABLE = "ONELOOK_MILVUS_TOKEN"
_TIMEOUT_SECONDS = 60.0


def connect(address: MilvusAddress) -> Any:
    """Connect to a Milvus server, or open a milvus-lite database and create it if it is missing.

    Returns:
        A `pymilvus.MilvusClient`.

    Raises:
        GalleryError: Milvus cannot be reached, or its packages are not installed.
    """
    try:
        import pymilvus
        from pymilvus.exceptions import MilvusException

        if address.is_embedded:
            import milvus_lite  # noqa: F401
    except ImportError as error:
        raise GalleryError(f"{address}: needs the packages of Milvus; `pip install 'onelook[milvus]'`") from error
    for library in ("pymilvus", "milvus_lite"):  # they log a traceback for every exception, which is raised here anyway
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    if address.is_embedded:
        Path(address.uri).parent.mkdir(parents=True, exist_ok=True)
    try:
        client = pymilvus.MilvusClient(address.uri, token=os.environ.get(TOKEN_VARIABLE, ""), timeout=_TIMEOUT_SECONDS)
    except MilvusException as error:
        reason = (
            "another process has it open, one at a time can; end that one, or run a Milvus server"
            if address.is_embedded
            else f"{_one_line(error)}; is its address right, and {TOKEN_VARIABLE} set?"
        )
        raise GalleryError(f"{address}: cannot be opened: {reason}") from error
    if address.is_embedded:  # private, as a gallery in a folder
        database = Path(address.uri)
        with suppress(OSError):
            database.chmod(0o700 if database.is_dir() else 0o600)
    return client


@contextmanager
def translate_errors(address: MilvusAddress) -> Iterator[None]:
    """Raise a MilvusException as a GalleryError with the address."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise GalleryError(f"{address}: Milvus reports: {_one_line(error)}; fix that, then try again") from error


def missing_gallery_message(address: MilvusAddress) -> str:
    """Format the error message for a gallery that does not exist."""
    return f"{address}: no such gallery; `onelook enroll NAME PHOTO` starts one"


def _one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", error)).split())
