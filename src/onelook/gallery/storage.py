"""The gallery folder on disk: checked when read, changed in one step by one process at a time.

Its files are those of `layout`. The two data files are named by their bytes and written first; replacing gallery.json
last makes the change, so a reader sees the whole old gallery or the whole new one, and so does the next start after a
kill. Files that no gallery.json names any more are removed at the end of a change, or at the start of the next one.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from onelook.errors import GalleryError
from onelook.files import replacing, replacing_folder
from onelook.gallery.data import GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.file_format import HEADER, MEND, Header, pack, parse_header, unpack

# A change holds the lock for milliseconds: whoever waits this long waits for something that hangs.
LOCK_SECONDS = 60.0
# A data file, or the temporary file of any of the three that a kill left behind.
_OURS = re.compile(r"\.?(index|people)\.[0-9a-f]{64}\.|\.gallery\.json\.")
_ABSENT = "no such gallery; `onelook enroll NAME PHOTO` starts one"


def is_gallery(folder: Path) -> bool:
    """Whether anything is there that must be read, or refused, as a gallery."""
    return folder.is_dir() and any(folder.iterdir())


def read(folder: Path) -> GalleryData:
    """Read a gallery folder and check every byte of it. Needs no lock, and no permission to write.

    Raises:
        GalleryError: it is missing, damaged, inconsistent or of an unknown format.
    """
    while True:
        header = _read_bytes(folder, HEADER)
        try:
            return unpack(folder, parse_header(folder / HEADER, header), lambda name: _read_data(folder / name))
        except FileNotFoundError as error:
            # A change that ended since gallery.json was read has taken the old files away: read the new ones.
            if _read_bytes(folder, HEADER) == header:
                raise GalleryError(f"{error.filename}: missing, the gallery is damaged; {MEND}") from error


def read_header(folder: Path) -> bytes | None:
    """The bytes of gallery.json, which every change changes; None where no gallery is.

    Raises:
        GalleryError: it cannot be read, or is missing from a folder that holds something.
    """
    return _read_bytes(folder, HEADER) if is_gallery(folder) else None


def create(folder: Path, contents: GalleryData, *, replace: bool = False) -> None:
    """Write a new gallery folder, in one step; with `replace`, in the place of a gallery that is there.

    Raises:
        GalleryError: the folder holds something already, or cannot be written.
    """
    with _locked(folder) as real:
        _put(real, contents, replace=replace)


def restore(folder: Path, contents: GalleryData) -> None:
    """Put back what a backup holds, in one step, in the place of what is there, damaged or not.

    Raises:
        GalleryError: the folder holds something else than a gallery, or one that the pipeline rebuilds.
    """
    with _locked(folder) as real:
        try:
            managed = is_gallery(real) and read(real).terms.managed
        except GalleryError:  # damaged: what a backup is for
            managed = False
        if managed:
            raise GalleryError(_pipelines(folder))
        terms = contents.terms.model_copy(update={"managed": False})
        _put(real, GalleryData(terms, contents.entries, contents.embeddings), replace=True)


def change(
    folder: Path, edit: Callable[[GalleryData], GalleryData], *, start: GalleryMetadata | None = None
) -> GalleryData:
    """Replace what a gallery holds by `edit` of what it holds now, in one step, while no other process changes it.

    Args:
        folder: the gallery.
        edit: makes the new contents out of the present ones; what it raises leaves the gallery as it is.
        start: the terms of a new gallery, begun where there is none; None: there must be one.

    Returns:
        The new contents.

    Raises:
        GalleryError: the gallery cannot be read or written, or is one that the pipeline rebuilds.
        OnelookError: a full disk.
    """
    if start is None and not folder.is_dir():
        raise GalleryError(f"{folder}: {_ABSENT}")
    with _locked(folder) as real:
        if start is not None and not is_gallery(real):
            created = edit(empty_gallery(start))
            _put(real, created, replace=False)
            return created
        current = read(real)
        if current.terms.managed:
            raise GalleryError(_pipelines(folder))
        _sweep(real)
        changed = edit(current)
        _write(real, changed)
        _sweep(real)
        return changed


def _pipelines(folder: Path) -> str:
    return (
        f"{folder}: the pipeline rebuilds this gallery, changes by hand would be lost; "
        "use a folder of your own (--gallery)"
    )


def _read_bytes(folder: Path, name: str) -> bytes:
    if not folder.is_dir():
        raise GalleryError(f"{folder}: {_ABSENT}")
    try:
        return _read_data(folder / name)
    except FileNotFoundError as error:
        raise GalleryError(f"{folder / name}: missing, so {folder} is no gallery or a damaged one; {MEND}") from error


def _read_data(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error


def _put(folder: Path, contents: GalleryData, *, replace: bool) -> None:
    """Write a whole gallery, under the lock."""
    for abandoned in folder.parent.iterdir():
        if abandoned.name.startswith(f".{folder.name}.new-"):
            shutil.rmtree(abandoned, ignore_errors=True)
    if folder.exists() and not folder.is_dir():
        raise GalleryError(f"{folder}: is a file, a gallery is a folder; name another")
    if not is_gallery(folder):
        with replacing_folder(folder) as new:
            _write(new, contents)
    elif replace and any(path.name == HEADER or _OURS.match(path.name) for path in folder.iterdir()):
        _write(folder, contents)
        _sweep(folder)
    else:
        raise GalleryError(f"{folder}: already holds something; name a folder that does not exist yet")


def _write(folder: Path, contents: GalleryData) -> None:
    for name, data in pack(contents).items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(data)


def _sweep(folder: Path) -> None:
    """Remove what earlier changes, or changes cut off by a kill, left behind: no trace of the forgotten stays."""
    header: Header = parse_header(folder / HEADER, _read_bytes(folder, HEADER))
    for path in folder.iterdir():
        if _OURS.match(path.name) and path.name not in (header.index_file, header.people_file):
            path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    # The lock lies beside the folder, not in it: the folder itself is put in place in one step and is a DVC output.
    real = folder.resolve()
    lock = real.parent / f".{real.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield real
    except Timeout as error:
        raise GalleryError(
            f"{folder}: another process has been changing it for {LOCK_SECONDS:.0f} s; try again when it has ended"
        ) from error
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be changed ({error.strerror or error})") from error
