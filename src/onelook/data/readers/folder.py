"""Reader of a folder with one directory of photos per person."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from onelook.data.image_io import is_photo
from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError
from onelook.files import sha256
from onelook.settings import FolderSettings
from onelook.workspace import workspace_path

LICENSE = "the user's own"
_NAMED_PEOPLE = 10  # in a message


def read_folder(settings: FolderSettings) -> IdentityDataset:
    """Read the photos of a folder, ordered by person and file name.

    Hidden files and files outside the people's directories are ignored. A duplicate of a person's photo is skipped: as
    an enrollment photo and a probe at once it would inflate the identification rate. So are links to themselves or to
    nothing, and what is no file, such as a pipe.

    Raises:
        DataError: the folder is missing or empty, a person has fewer than `min_images` photos, two people have the same
            photo, or a link leads out of the folder.
    """
    root = workspace_path(settings.path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; set prepare.folder.path to a folder with a directory per person")
    directories = [entry for entry in _visible_entries(root) if entry.is_dir()]
    if not directories:
        raise DataError(f"{root}: empty; it must hold a directory of photos per person")
    files: dict[Path, list[Path]] = {}
    skipped: list[str] = []
    for directory in directories:
        files[directory], unusable = _photo_paths(root, directory)
        skipped += [f"{path}: skipped, a link to nothing or no file" for path in unusable]
    duplicates = _find_duplicates(path for paths in files.values() for path in paths)
    skipped += [f"{path}: skipped, a duplicate of {first}" for path, first in sorted(duplicates.items())]
    usable = {directory: [path for path in paths if path not in duplicates] for directory, paths in files.items()}
    check_counts({str(directory): len(paths) for directory, paths in usable.items()}, settings.min_images)
    images: list[IdentityImage] = []
    for directory, unique in usable.items():
        # A file system may store "é" as two code points. The normalized name matches a typed one.
        name = unicodedata.normalize("NFC", directory.name)
        images += [
            IdentityImage(path, name, path.relative_to(root).as_posix(), LICENSE, settings.longest_side)
            for path in unique
        ]
    return IdentityDataset(tuple(images), tuple(skipped))


def check_counts(photos: Mapping[str, int], minimum: int) -> None:
    """Raise DataError if people have fewer photos than the minimum; the message names the first of them.

    Args:
        photos: number of usable photos by person.
        minimum: least number of a person.
    """
    few = {person: count for person, count in photos.items() if count < max(minimum, 1)}
    if not few:
        return
    named = ", ".join(f"{person} ({count})" for person, count in list(few.items())[:_NAMED_PEOPLE])
    more = f" and {len(few) - _NAMED_PEOPLE} more" if len(few) > _NAMED_PEOPLE else ""
    raise DataError(
        f"{'1 person has' if len(few) == 1 else f'{len(few)} people have'} fewer usable photos than "
        f"prepare.folder.min_images = {minimum}: {named}{more}; add photos, remove these people, or lower the minimum"
    )


def _visible_entries(directory: Path) -> list[Path]:
    return sorted(entry for entry in directory.iterdir() if not entry.name.startswith("."))


def _photo_paths(root: Path, directory: Path) -> tuple[list[Path], list[Path]]:
    """List the files of a person, and the entries that are none."""
    resolved_root = root.resolve()
    paths: list[Path] = []
    unusable: list[Path] = []
    for path in (directory, *_visible_entries(directory)):
        try:
            is_inside = path.resolve().is_relative_to(resolved_root)
        except (RuntimeError, OSError):  # a link to itself; which of the two depends on the version of Python
            unusable.append(path)
            continue
        if not is_inside:
            raise DataError(f"{path}: a link out of {root}; copy the photos into the folder instead")
        if path == directory:
            continue
        if path.is_dir():
            raise DataError(f"{path}: a folder inside a person's folder; put the photos directly into {directory}")
        (paths if path.is_file() else unusable).append(path)
    return paths, unusable


def _find_duplicates(paths: Iterable[Path]) -> dict[Path, Path]:
    """Map each duplicate file to the first file of the same content.

    Only files of equal length are read.
    """
    by_size = defaultdict(list)
    for path in paths:
        by_size[path.stat().st_size].append(path)
    duplicates: dict[Path, Path] = {}
    for same_size in by_size.values():
        if len(same_size) == 1:
            continue
        first_by_hash: dict[str, Path] = {}
        for path in same_size:
            first = first_by_hash.setdefault(sha256(path), path)
            if first == path:
                continue
            if first.parent != path.parent:
                if not is_photo(path):  # Windows writes the same desktop.ini into many folders
                    continue
                raise DataError(f"{path}: the same photo as {first}, of another person; remove it from one of the two")
            duplicates[path] = first
    return duplicates
