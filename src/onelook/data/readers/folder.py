"""The reader of a user's own photos: one directory per person, named after the person."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError
from onelook.files import sha256
from onelook.settings import FolderSettings

LICENSE = "the user's own"


def read_folder(settings: FolderSettings) -> IdentityDataset:
    """Every photo of every person, people and photos in the order of their names.

    Hidden files are ignored, and so are files beside the people's directories. A second copy of a person's photo is
    left out: as an enrollment photo and a probe at once it would make identification look better than it is.

    Raises:
        DataError: the folder is missing or holds nobody, a person has fewer photos than the settings ask for, the same
            photo stands under two people, or a link leads out of the folder.
    """
    root = Path(settings.path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; set prepare.folder.path to a folder with a directory per person")
    directories = [entry for entry in _visible(root) if entry.is_dir()]
    if not directories:
        raise DataError(f"{root}: empty; it must hold a directory per person, with the person's photos inside")
    files = {directory: _files(root, directory) for directory in directories}
    copies = _copies(path for paths in files.values() for path in paths)
    left_out = [f"{copy}: left out, a copy of {first}" for copy, first in sorted(copies.items())]
    portraits: list[IdentityImage] = []
    for directory, paths in files.items():
        kept = [path for path in paths if path not in copies]
        check_count(str(directory), len(kept), settings.min_images)
        # A file system may store "é" as two code points; the name must match the one a user types.
        name = unicodedata.normalize("NFC", directory.name)
        portraits += [
            IdentityImage(path, name, path.relative_to(root).as_posix(), LICENSE, settings.longest_side)
            for path in kept
        ]
    return IdentityDataset(tuple(portraits), tuple(left_out))


def check_count(person: str, photos: int, minimum: int) -> None:
    """Raise DataError where a person has too few photos."""
    if photos == 0:
        raise DataError(f"{person}: no photo that can be used; add photos, or remove this person")
    if photos < minimum:
        raise DataError(
            f"{person}: {photos} usable {'photo' if photos == 1 else 'photos'}, fewer than "
            f"prepare.folder.min_images = {minimum}; add photos, remove this person, or lower the minimum"
        )


def _visible(directory: Path) -> list[Path]:
    return sorted(entry for entry in directory.iterdir() if not entry.name.startswith("."))


def _files(root: Path, directory: Path) -> list[Path]:
    paths = _visible(directory)
    for path in (directory, *paths):
        if not path.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path}: a link out of {root}; copy the photos into the folder instead")
        if path != directory and path.is_dir():
            raise DataError(f"{path}: a folder inside a person's folder; put the photos directly into {directory}")
    return paths


def _copies(paths: Iterable[Path]) -> dict[Path, Path]:
    """Each later copy with its first, by content; only files of equal length are read."""
    by_length = defaultdict(list)
    for path in paths:
        by_length[path.stat().st_size].append(path)
    copies: dict[Path, Path] = {}
    for same_length in by_length.values():
        if len(same_length) == 1:
            continue
        first_of: dict[str, Path] = {}
        for path in same_length:
            first = first_of.setdefault(sha256(path), path)
            if first == path:
                continue
            if first.parent != path.parent:
                raise DataError(f"{path}: the same photo as {first}, of another person; remove it from one of the two")
            copies[path] = first
    return copies
