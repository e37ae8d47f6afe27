"""Back a gallery up into one file: an uncompressed ZIP archive of the files of `file_format`."""

import io
import zipfile
import zlib
from pathlib import Path

from onelook.errors import GalleryError
from onelook.files import atomic_file
from onelook.gallery.data import GalleryData
from onelook.gallery.file_format import HEADER_FILE, deserialize, parse_header, serialize


def write_backup(path: Path, data: GalleryData) -> None:
    """Write gallery data into a new file atomically; equal data gives equal bytes.

    Raises:
        GalleryError: the file exists.
        OnelookError: it cannot be written.
    """
    if path.exists():
        raise GalleryError(f"{path}: is there already, and a backup is never written over; name another file")
    with atomic_file(path) as temporary:
        temporary.write_bytes(backup_bytes(data))


def backup_bytes(data: GalleryData) -> bytes:
    """Return the bytes of a backup of gallery data."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in serialize(data).items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def read_backup(path: Path) -> GalleryData:
    """Read a backup and verify the checksums of all its files.

    Raises:
        GalleryError: it is missing, damaged or no backup.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:

            def read_member(name: str) -> bytes:
                member = archive.getinfo(name)
                # `write_backup` stores files uncompressed. Anything else is refused before it is unpacked (ZIP bombs).
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(content):
                    raise zipfile.BadZipFile(name)
                return archive.read(member)

            return deserialize(path, parse_header(path / HEADER_FILE, read_member(HEADER_FILE)), read_member)
    except (GalleryError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError, EOFError) as error:
        raise GalleryError(f"{path}: no backup of a gallery, or a damaged one; use another copy") from error
