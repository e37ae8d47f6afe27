"""Read galleries of earlier formats: folders with the files of `file_format`, which an upgrade replaces."""

import re
from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryData
from onelook.gallery.database import REPAIR_HINT
from onelook.gallery.file_format import HEADER_FILE, deserialize, parse_header
from onelook.gallery.forgetting import Forgetting

# A file of a gallery, or a temporary file that a kill left behind.
_EARLIER_FILE = re.compile(r"gallery\.json$|\.?(index|people)\.[0-9a-f]{32,64}\.|\.gallery\.json\.")


def read_earlier(folder: Path) -> GalleryData:
    """Read a gallery of an earlier format and verify every checksum, without lock or write permission.

    Raises:
        GalleryError: it is missing, damaged, inconsistent or of an unknown format.
    """
    while True:
        header = read_earlier_header(folder)
        try:
            return deserialize(folder, parse_header(folder / HEADER_FILE, header), lambda name: _read(folder / name))
        except FileNotFoundError as error:
            # An earlier version that changes the gallery meanwhile has removed the old files: retry with the new ones.
            # The same header and files come back where two changes undo each other.
            if read_earlier_header(folder) == header and not Path(error.filename).exists():
                raise GalleryError(f"{error.filename}: missing, the gallery is damaged; {REPAIR_HINT}") from error


def read_earlier_forgotten(folder: Path) -> tuple[Forgetting, ...]:
    """Read the record of forgotten people, also of a gallery whose other files are damaged.

    Raises:
        GalleryError: gallery.json is damaged or missing.
    """
    return parse_header(folder / HEADER_FILE, read_earlier_header(folder)).forgotten


def find_unreferenced(folder: Path) -> list[Path]:
    """Return the files of interrupted changes, which gallery.json does not name."""
    header = parse_header(folder / HEADER_FILE, read_earlier_header(folder))
    referenced = {HEADER_FILE, header.index_file, header.people_file}
    return [path for path in folder.iterdir() if is_earlier_file(path) and path.name not in referenced]


def is_earlier_file(path: Path) -> bool:
    """Return whether a file has the name of a file of an earlier format."""
    return _EARLIER_FILE.match(path.name) is not None


def read_earlier_header(folder: Path) -> bytes:
    """Read the bytes of gallery.json, which every change changes.

    Raises:
        GalleryError: it is missing or cannot be read.
    """
    try:
        return _read(folder / HEADER_FILE)
    except FileNotFoundError as error:
        raise GalleryError(
            f"{folder / HEADER_FILE}: missing, so {folder} is no gallery or a damaged one; {REPAIR_HINT}"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error
