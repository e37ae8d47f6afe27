"""Discovery of photos and videos in folders."""

import dataclasses
import errno
import hashlib
import os
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PHOTO_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jif .jfif .mpo .png .apng .webp .avif .avifs .bmp .dib .gif .tif .tiff .pbm .pgm .ppm".split()  # noqa: SIM905
    + ".pnm .jp2 .j2k .j2c .jpc .jpf .jpx .heic .heics .heif .heifs .hif".split()  # noqa: SIM905
)
UNREADABLE_SUFFIXES = frozenset(
    ".jxl .dng .cr2 .cr3 .nef .nrw .arw .orf .rw2 .raf .pef .srw .psd".split()  # noqa: SIM905
)
"""Suffixes of photos whose format is not read; they are reported."""
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .3gp .mts .m2ts .ogv".split()  # noqa: SIM905
)

# JPEG, PNG, GIF, TIFF in either byte order, BMP, JPEG 2000.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_BOX_STARTS = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif")

MediaKind = Literal["photo", "video"]


@dataclass(frozen=True)
class MediaFile:
    """A photo or video file.

    Attributes:
        path: the path as given, or below the given folder.
        kind: derived from the suffix; a file given by name with any other suffix counts as a photo.
        size_bytes: file size; 0 if the file is missing.
        mtime_ns: modification time; 0 if the file is missing.
        error: one line on why the file must not be opened; None if it can be tried.
    """

    path: Path
    kind: MediaKind
    size_bytes: int = 0
    mtime_ns: int = 0
    error: str | None = None

    @property
    def path_hash(self) -> int:
        """Return the 64-bit hash of the path."""
        return hash_path(str(self.path))

    @property
    def version_hash(self) -> int:
        """Return the 64-bit hash of size and modification time."""
        return hash_version(self.size_bytes, self.mtime_ns)


def hash_path(path: str) -> int:
    """Hash a path to 64 bits."""
    return _hash64(os.fsencode(path))


def hash_version(size_bytes: int, mtime_ns: int) -> int:
    """Hash a file's size and modification time to 64 bits."""
    return _hash64(f"{size_bytes} {mtime_ns}".encode())


def find_media_files(paths: Sequence[Path], out: Path | None = None) -> Iterator[MediaFile]:
    """Find the photos and videos in folders and subfolders, sorted by folder.

    - Hidden files, files of other types and the folder `out` are skipped. A file without a suffix is a photo if it
      begins like one; photos of formats that are not read are returned with an error.
    - A file given by name is always returned.
    - A path that lies below another given path, or is given twice, is returned once.
    - A folder that is a symbolic link is not entered. It is returned with an error if it contains the link, or if its
      files are not found elsewhere.
    - A link to itself or to nothing, whatever its suffix, and a photo or video that is a link to a file outside the
      given folder are returned with an error.

    Args:
        paths: folders and files.
        out: folder of the results; None: there is none.
    """
    resolved_parents: dict[Path, Path] = {}
    resolved = [_resolve(path, resolved_parents) for path in paths]
    first_given = dict(zip(reversed(resolved), reversed(paths), strict=True))
    folders = {path for path in first_given if path.is_dir()}
    for given, path in zip(paths, resolved, strict=True):
        if first_given[path] is not given or (folders and any(parent in folders for parent in path.parents)):
            continue
        if path in folders:
            yield from _walk(given, None if out is None else out.resolve(), folders)
        else:
            yield _stat_file(given, _media_kind(given) or "photo")


def _resolve(path: Path, resolved_parents: dict[Path, Path]) -> Path:
    """Resolve a path as `Path.resolve` does, with each parent folder resolved only once."""
    if path.name in ("", "..") or path.is_symlink():
        return _follow(path) or path.absolute()
    if path.parent not in resolved_parents:
        resolved_parents[path.parent] = path.parent.resolve()
    return resolved_parents[path.parent] / path.name


def _walk(root: Path, out: Path | None, given_folders: Set[Path]) -> Iterator[MediaFile]:
    walk_errors: list[OSError] = []
    resolved_root = root.resolve()
    for folder_name, subfolders, file_names in os.walk(root, onerror=walk_errors.append):
        folder = Path(folder_name)
        subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name) and (folder / name).resolve() != out)
        for path in (folder / name for name in subfolders):
            if problem := _folder_link_problem(path, root, given_folders):
                yield MediaFile(path, "photo", error=f"{path}: {problem}")
        for name in sorted(file_names):
            path = folder / name
            if _is_hidden(name):
                continue
            kind = _media_kind(path)
            if path.suffix.lower() in UNREADABLE_SUFFIXES:
                reason = f"{path}: photos of the format {path.suffix.lower()} are not read; convert it to JPEG"
                yield dataclasses.replace(_stat_file(path, "photo"), error=reason)
                continue
            if kind is None and ((not path.suffix and _begins_like_photo(path)) or _broken_link_problem(path)):
                kind = "photo"  # a broken link may have been one, or a folder of them
            if kind is None:
                continue
            if problem := _link_problem(path, root, resolved_root):
                yield MediaFile(path, kind, error=f"{path}: {problem}")
            else:
                yield _stat_file(path, kind)
    for error in walk_errors:
        path = Path(str(error.filename))
        yield MediaFile(path, "photo", error=f"{path}: cannot be read ({error.strerror})")


def _link_problem(path: Path, root: Path, resolved_root: Path) -> str | None:
    """Return why a symbolic link is not followed; None for a link inside the folder, and for a file."""
    if not path.is_symlink():
        return None
    if problem := _broken_link_problem(path):
        return problem
    target = _follow(path)
    if target is None or not target.is_relative_to(resolved_root):
        return f"a link out of {root}; name the file itself"
    return None


def _folder_link_problem(path: Path, root: Path, given_folders: Set[Path]) -> str | None:
    """Return why the files behind a link to a folder are left out; None if they are found elsewhere, or no link."""
    if not path.is_symlink():
        return None
    target = path.resolve()
    if path.parent.resolve().is_relative_to(target):
        return "a link to a folder that contains it; remove it"
    if any(parent in given_folders for parent in (target, *target.parents)):
        return None
    return f"a link out of {root}; name the folder itself"


def _broken_link_problem(path: Path) -> str | None:
    """Return why a symbolic link leads to no file or folder; None if it leads to one, or is no link."""
    if not path.is_symlink():
        return None
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "a link to nothing; remove it"
    except OSError as error:
        return "a link to itself; remove it" if error.errno == errno.ELOOP else None
    return None


def _follow(path: Path) -> Path | None:
    """Resolve a path; return None for a circle of links."""
    try:
        return path.resolve()
    except (RuntimeError, OSError):  # which of the two depends on the version of Python
        return None


def _stat_file(path: Path, kind: MediaKind) -> MediaFile:
    try:
        status = path.stat()
    except OSError:  # opening the file reports the error
        return MediaFile(path, kind)
    return MediaFile(path, kind, status.st_size, status.st_mtime_ns)


def _media_kind(path: Path) -> MediaKind | None:
    suffix = path.suffix.lower()
    return "photo" if suffix in PHOTO_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _begins_like_photo(path: Path) -> bool:
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises where a link leads into a closed folder)
        return False
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError:
        return False
    is_container = (start[:4], start[8:12]) == (b"RIFF", b"WEBP") or start[4:12] in _BOX_STARTS
    return is_container or start.startswith(_MAGIC)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _hash64(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())
