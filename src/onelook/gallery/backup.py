"""A gallery in one file: a plain ZIP archive of the files that `layout` describes."""

import io
import zipfile
import zlib
from pathlib import Path

from onelook.errors import GalleryError
from onelook.files import replacing
from onelook.gallery.data import GalleryData
from onelook.gallery.file_format import HEADER, pack, parse_header, unpack


def write_backup(path: Path, contents: GalleryData) -> None:
    """Write what a gallery holds into a new file, in one step; same contents, same bytes.

    Raises:
        GalleryError: the file is there already.
        OnelookError: it cannot be written.
    """
    if path.exists():
        raise GalleryError(f"{path}: is there already, and a backup is never written over; name another file")
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in pack(contents).items():
            archive.writestr(zipfile.ZipInfo(name), data)


def read_backup(path: Path) -> GalleryData:
    """Read a backup and check every byte of what it holds.

    Raises:
        GalleryError: it is missing, damaged or no backup.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:

            def fetch(name: str) -> bytes:
                member = archive.getinfo(name)
                # `pack` is stored as it is: what claims to be larger than the file, or is squeezed, is not ours.
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(data):
                    raise zipfile.BadZipFile(name)
                return archive.read(member)

            return unpack(path, parse_header(path / HEADER, fetch(HEADER)), fetch)
    except (GalleryError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError, EOFError) as error:
        raise GalleryError(f"{path}: no backup of a gallery, or a damaged one; use another copy") from error
