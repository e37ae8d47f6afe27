"""Finding photos and videos in folders."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# HEIC cannot be read, but is a photo all the same: it is reported, not passed over.
PHOTOS = frozenset(
    ".jpg .jpeg .png .webp .avif .bmp .gif .tif .tiff .pgm .ppm .pnm .jp2 .heic .heif".split()  # noqa: SIM905
)
VIDEOS = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .3gp .mts .m2ts .ogv".split()  # noqa: SIM905
)

Kind = Literal["photo", "video"]


@dataclass(frozen=True)
class Source:
    """A photo or a video that was found.

    Attributes:
        path: as it was named, or from the named folder on.
        kind: by its suffix; a file named by itself that is no video is taken for a photo.
        bytes: its length; 0 where it is missing.
        mtime_ns: when it was changed last; 0 where it is missing.
        why: one line that says why it cannot be looked at; None: it can be tried.
    """

    path: Path
    kind: Kind
    bytes: int = 0
    mtime_ns: int = 0
    why: str | None = None

    @property
    def key(self) -> int:
        """64 bits that stand for its path."""
        return path_key(str(self.path))

    @property
    def stamp(self) -> int:
        """64 bits that change when the file does."""
        return stamp(self.bytes, self.mtime_ns)


def path_key(path: str) -> int:
    """64 bits that stand for a path."""
    return _short(os.fsencode(path))


def stamp(length: int, mtime_ns: int) -> int:
    """64 bits that stand for a file of this length, changed last at this time."""
    return _short(f"{length} {mtime_ns}".encode())


def find_sources(sources: Sequence[Path], out: Path) -> Iterator[Source]:
    """The photos and videos of folders, of the folders in them, and of files, sorted within each folder.

    Hidden files, files of other kinds and what lies in `out` are passed over. A folder that is a link is not entered; a
    file that is a link out of the named folder is refused. A source that lies in another one comes once.
    """
    folders_known: dict[Path, Path] = {}
    resolved = [_resolved(source, folders_known) for source in sources]
    first = dict(zip(reversed(resolved), reversed(sources), strict=True))
    folders = {path for path in first if path.is_dir()}
    for source, path in zip(sources, resolved, strict=True):
        if first[path] is not source or (folders and any(parent in folders for parent in path.parents)):
            continue
        if path in folders:
            yield from _walk(source, out.resolve())
        else:
            yield _file(source, _kind(source) or "photo")


def _resolved(path: Path, folders: dict[Path, Path]) -> Path:
    """As `Path.resolve`, which asks the system of every folder on the way; those of the folders known are not asked."""
    if path.name in ("", "..") or path.is_symlink():
        return path.resolve()
    if path.parent not in folders:
        folders[path.parent] = path.parent.resolve()
    return folders[path.parent] / path.name


def _walk(root: Path, out: Path) -> Iterator[Source]:
    unreadable: list[OSError] = []
    real = root.resolve()
    for name, folders, files in os.walk(root, onerror=unreadable.append):
        folder = Path(name)
        folders[:] = sorted(each for each in folders if not _hidden(each) and (folder / each).resolve() != out)
        for file in sorted(files):
            path = folder / file
            kind = _kind(path)
            if kind is None or _hidden(file):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(real):
                yield Source(path, kind, why=f"{path}: a link out of {root}; name the file itself")
            else:
                yield _file(path, kind)
    for error in unreadable:
        path = Path(str(error.filename))
        yield Source(path, "photo", why=f"{path}: cannot be read ({error.strerror})")


def _file(path: Path, kind: Kind) -> Source:
    try:
        status = path.stat()
    except OSError:  # looking at it tells what is wrong
        return Source(path, kind)
    return Source(path, kind, status.st_size, status.st_mtime_ns)


def _kind(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    return "photo" if suffix in PHOTOS else "video" if suffix in VIDEOS else None


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _short(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())
