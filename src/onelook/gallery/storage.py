"""The gallery folder on disk: verified when read, changed atomically under a file lock.

The files are those of `file_format`. A change writes the two data files under new names first, and replaces
gallery.json last with an atomic rename. So a reader finds the gallery before or after a change, also after a kill at
any moment. Files that gallery.json does not name are removed at the end of a change, or at the start of the next one.
"""

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from onelook.errors import GalleryError
from onelook.files import atomic_file, atomic_folder
from onelook.gallery.data import GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.file_format import HEADER_FILE, REPAIR_HINT, deserialize, parse_header, serialize
from onelook.gallery.forgetting import Forgetting
from onelook.gallery.restoring import Restoration, copy_beside, find_forgotten, leave_out, unite_records

# A change holds the lock for milliseconds, so after this time the holder must be hanging.
LOCK_TIMEOUT = 60.0
# A data file, or a temporary file that a kill left behind, which may have a part of the digest in its name.
_GALLERY_FILE = re.compile(r"\.?(index|people)\.[0-9a-f]{32,64}\.|\.gallery\.json\.")
_OCCUPIED = "{}: already holds something; name a folder that does not exist yet"
_MISSING = "no such gallery; `onelook enroll NAME PHOTO` starts one"


def is_gallery(folder: Path) -> bool:
    """Return whether the folder exists and is not empty, so that it must be read, or refused, as a gallery."""
    return folder.is_dir() and any(folder.iterdir())


def is_gallery_file(path: Path) -> bool:
    """Return whether a file has the name of a data file, or of a temporary file that a kill left behind."""
    return _GALLERY_FILE.match(path.name) is not None


def read(folder: Path) -> GalleryData:
    """Read a gallery folder and verify every checksum, without lock or write permission.

    Raises:
        GalleryError: it is missing, damaged, inconsistent or of an unknown format.
    """
    while True:
        header = _read_file(folder, HEADER_FILE)
        try:
            return deserialize(folder, parse_header(folder / HEADER_FILE, header), lambda name: _read(folder / name))
        except FileNotFoundError as error:
            # A change since gallery.json was read has removed the old files: retry with the new ones.
            # The same header and files come back where two changes undo each other.
            if _read_file(folder, HEADER_FILE) == header and not Path(error.filename).exists():
                raise GalleryError(f"{error.filename}: missing, the gallery is damaged; {REPAIR_HINT}") from error


def read_header(folder: Path) -> bytes | None:
    """Read the bytes of gallery.json, which every change changes; return None where there is no gallery.

    Raises:
        GalleryError: it cannot be read, or is missing from a folder that is not empty.
    """
    return _read_file(folder, HEADER_FILE) if is_gallery(folder) else None


def create(folder: Path, data: GalleryData, *, replace: bool = False) -> None:
    """Write a new gallery folder atomically; with `replace`, also over an existing gallery.

    Raises:
        GalleryError: the folder is occupied, or cannot be written.
    """
    with _locked(folder) as resolved:
        _write_new(resolved, data, replace=replace)


def check_restorable(folder: Path) -> None:
    """Check that a folder can be replaced by a backup.

    Raises:
        GalleryError: it holds something else than a gallery, or a gallery that the pipeline rebuilds.
    """
    if folder.exists() and not folder.is_dir():
        raise GalleryError(f"{folder}: is a file, a gallery is a folder; name another")
    try:
        managed = is_gallery(folder) and read(folder).metadata.managed
    except GalleryError:  # damaged: the case that backups are for
        managed = False
    if managed:
        raise GalleryError(_managed_message(folder))
    if is_gallery(folder) and not _has_gallery_files(folder):
        raise GalleryError(_OCCUPIED.format(folder))


def read_forgotten(folder: Path) -> tuple[Forgetting, ...]:
    """Read the record of forgotten people, also of a gallery whose other files are damaged.

    Raises:
        GalleryError: gallery.json is damaged or missing.
    """
    if not is_gallery(folder):
        return ()
    return parse_header(folder / HEADER_FILE, _read_file(folder, HEADER_FILE)).forgotten


def restore(folder: Path, data: GalleryData, *, with_forgotten: bool = False, keep: bool = False) -> Restoration:
    """Replace a gallery, damaged or not, by the content of a backup, atomically.

    Args:
        folder: the gallery.
        data: content of the backup.
        with_forgotten: also restore people whom the present gallery records as forgotten. Where its gallery.json is
            damaged, the record is lost, and nobody is left out.
        keep: copy the present gallery beside it first, with the day and time in the name.

    Raises:
        GalleryError: see `check_restorable`.
    """
    with _locked(folder) as resolved:
        check_restorable(resolved)
        try:
            record = read_forgotten(resolved)
        except GalleryError:
            record = ()
        left_out = () if with_forgotten else find_forgotten(data, record)
        restored = unite_records(leave_out(data, left_out, record), record)
        restored = dataclasses.replace(restored, metadata=data.metadata.model_copy(update={"managed": False}))
        kept = copy_beside(resolved) if keep and is_gallery(resolved) else None
        _write_new(resolved, restored, replace=True)
        return Restoration(restored, left_out, None if kept is None else folder.parent / kept.name)


def update(
    folder: Path,
    edit: Callable[[GalleryData], GalleryData],
    *,
    initial: GalleryMetadata | None = None,
    allow_managed: bool = False,
) -> GalleryData:
    """Apply `edit` to the gallery on disk, atomically and under the lock.

    Args:
        folder: the gallery.
        edit: computes the new data from the present data; an exception leaves the gallery as it is.
        initial: metadata of a gallery to create if there is none; None: a missing gallery is an error.
        allow_managed: also change a copy of a gallery that the pipeline rebuilds.

    Returns:
        The new data.

    Raises:
        GalleryError: the gallery cannot be read or written, or is one that the pipeline rebuilds.
        OnelookError: the disk is full.
    """
    if initial is None and not folder.is_dir():
        raise GalleryError(f"{folder}: {_MISSING}")
    with _locked(folder) as resolved:
        if initial is not None and not is_gallery(resolved):
            created = edit(empty_gallery(initial))
            _write_new(resolved, created, replace=False)
            return created
        current = read(resolved)
        if current.metadata.managed and not allow_managed:
            raise GalleryError(_managed_message(folder))
        _remove_unreferenced(resolved)
        changed = edit(current)
        _write_files(resolved, changed)
        _remove_unreferenced(resolved)
        return changed


def _managed_message(folder: Path) -> str:
    return (
        f"{folder}: the pipeline rebuilds this gallery, changes by hand would be lost; "
        "use a folder of your own (--gallery)"
    )


def _read_file(folder: Path, name: str) -> bytes:
    if not folder.is_dir():
        raise GalleryError(f"{folder}: {_MISSING}")
    try:
        return _read(folder / name)
    except FileNotFoundError as error:
        raise GalleryError(
            f"{folder / name}: missing, so {folder} is no gallery or a damaged one; {REPAIR_HINT}"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error


def _write_new(folder: Path, data: GalleryData, *, replace: bool) -> None:
    """Write a complete gallery; the caller holds the lock."""
    for abandoned in folder.parent.iterdir():
        if abandoned.name.startswith(f".{folder.name}.new-"):
            shutil.rmtree(abandoned, ignore_errors=True)
    if folder.exists() and not folder.is_dir():
        raise GalleryError(f"{folder}: is a file, a gallery is a folder; name another")
    if not is_gallery(folder):
        with atomic_folder(folder) as new:
            _write_files(new, data)
    elif replace and _has_gallery_files(folder):
        _write_files(folder, data)
        _remove_unreferenced(folder)
    else:
        raise GalleryError(_OCCUPIED.format(folder))


def _has_gallery_files(folder: Path) -> bool:
    return any(path.name == HEADER_FILE or is_gallery_file(path) for path in folder.iterdir())


def _write_files(folder: Path, data: GalleryData) -> None:
    for name, content in serialize(data).items():
        with atomic_file(folder / name) as temporary:
            temporary.write_bytes(content)


def _remove_unreferenced(folder: Path) -> None:
    """Remove gallery files that gallery.json does not name, so that nothing of a removed person stays."""
    header = parse_header(folder / HEADER_FILE, _read_file(folder, HEADER_FILE))
    for path in folder.iterdir():
        if is_gallery_file(path) and path.name not in (header.index_file, header.people_file):
            path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Hold the file lock of a gallery and yield the resolved folder.

    The lock file is beside the folder, because the folder is put in place by a rename and is a DVC output.
    """
    resolved = folder.resolve()
    lock = resolved.parent / f".{resolved.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_TIMEOUT):
            yield resolved
    except Timeout as error:
        raise GalleryError(
            f"{folder}: another process has been changing it for {LOCK_TIMEOUT:.0f} s; try again when it has ended"
        ) from error
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be changed ({error.strerror or error})") from error
