"""Find the files of onelook below directories: galleries, backups, exports, results of `identify-all`."""

import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from onelook.erasure.finding import Finding
from onelook.gallery.database import DATABASE_FILE
from onelook.gallery.export import COLUMNS
from onelook.gallery.file_format import HEADER_FILE
from onelook.gallery.folder import is_gallery_file
from onelook.media.embeddings_file import FILE_NAME as EMBEDDINGS_NAME
from onelook.media.identify_all import RUN_FILE_NAME
from onelook.media.journal import FILE_NAME as JOURNAL_NAME

TABLE_NAME = "faces.csv"
_ZIP_MAGIC = b"PK\x03\x04"
# `write_backup` writes the index first; its name follows the 30 bytes of the local header.
_BACKUP_START = b"index."
_PACKED = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


@dataclass
class Discovery:
    """The files below the directories.

    Attributes:
        galleries, exports, results: folders.
        backups: files of `onelook backup`.
        folders: all folders.
        others: all other regular files.
        problems: what could not be searched.
        links: number of symbolic links, which are not followed.
    """

    galleries: list[Path] = field(default_factory=list)
    backups: list[Path] = field(default_factory=list)
    exports: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    links: int = 0


def discover(directories: Iterable[Path]) -> Discovery:
    """Search directories with all their subdirectories; symbolic links are not followed."""
    found = Discovery()
    seen: set[Path] = set()
    for directory in directories:
        for root, names in _walk(directory, found):
            if root.resolve() in seen:
                continue
            seen.add(root.resolve())
            found.folders.append(root)
            own = _sort_folder(root, names, found)
            for name in sorted(names - own):
                _sort_file(root / name, found)
    return found


def _walk(directory: Path, found: Discovery) -> Iterator[tuple[Path, set[str]]]:
    """Yield each folder with the names of its regular files."""

    def report(error: OSError) -> None:
        found.problems.append(unreadable(Path(os.fsdecode(error.filename or directory)), error))

    if not directory.is_dir():
        report(NotADirectoryError(20, "no such directory", str(directory)))
    for root, folders, files in os.walk(directory, onerror=report):
        folders.sort()
        names = set()
        for name in files:
            path = Path(root, name)
            if path.is_symlink():
                found.links += 1
            elif path.is_file():
                names.add(name)
        found.links += sum(Path(root, name).is_symlink() for name in folders)
        yield Path(root), names


def unreadable(path: Path, error: Exception) -> Finding:
    """Return the finding of something that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Finding(path, f"not searched ({reason})", advice="make it readable and search again, or remove it")


def _sort_folder(root: Path, names: set[str], found: Discovery) -> set[str]:
    """Add a folder to the galleries, results or exports, and return the names of the files that belong to these."""
    own: set[str] = set()
    if HEADER_FILE in names or DATABASE_FILE in names:
        found.galleries.append(root)
        own |= {name for name in names if is_gallery_file(root / name)}
    if RUN_FILE_NAME in names and JOURNAL_NAME in names:
        found.results.append(root)
        own |= {RUN_FILE_NAME, JOURNAL_NAME, EMBEDDINGS_NAME, TABLE_NAME, "groups.csv", "groups.png"}
    elif {TABLE_NAME, EMBEDDINGS_NAME} <= names and _read_start(root / TABLE_NAME, found).startswith(
        ",".join(COLUMNS).encode()
    ):
        found.exports.append(root)
        own |= {TABLE_NAME, EMBEDDINGS_NAME}
    return own


def _sort_file(path: Path, found: Discovery) -> None:
    start = _read_start(path, found)
    if start.startswith(_ZIP_MAGIC) and start[30:].startswith(_BACKUP_START):
        found.backups.append(path)
    elif start.startswith(_ZIP_MAGIC) and _holds_files_of_onelook(path):
        advice = "unpack it, search there, and pack it again"
        found.problems.append(Finding(path, "not searched (an archive with files of onelook)", advice=advice))
    elif path.suffix.lower() in _PACKED:
        found.problems.append(Finding(path, "not searched (an archive)", advice="unpack it and search there"))
    else:
        found.others.append(path)


def _holds_files_of_onelook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return True  # a damaged archive may hold anything
    known = {HEADER_FILE, DATABASE_FILE, JOURNAL_NAME, TABLE_NAME}
    return not names.isdisjoint(known) or any(name.endswith(".zip") for name in names)


def _read_start(path: Path, found: Discovery) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(256)
    except OSError as error:
        found.problems.append(unreadable(path, error))
        return b""
