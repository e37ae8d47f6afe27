"""Search directories for everything that holds a person."""

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onelook.erasure.discovery import Discovery, discover, unreadable
from onelook.erasure.finding import Finding
from onelook.erasure.galleries import search_backup, search_export, search_gallery
from onelook.erasure.person import Person
from onelook.erasure.results import search_results
from onelook.errors import OnelookError
from onelook.gallery import storage
from onelook.gallery.backup import read_backup
from onelook.gallery.data import GalleryData
from onelook.media.discovery import PHOTO_SUFFIXES, UNREADABLE_SUFFIXES, VIDEO_SUFFIXES

# Photos, videos, weights and arrays: a name in their bytes would be chance. Their file names are searched.
_BINARY = frozenset(
    (
        *(PHOTO_SUFFIXES | UNREADABLE_SUFFIXES | VIDEO_SUFFIXES),
        *(".pt", ".pth", ".onnx", ".npy", ".npz", ".safetensors", ".faiss", ".so", ".pyc"),
    )
)


@dataclass(frozen=True)
class SearchResult:
    """Findings of a search for a person.

    Attributes:
        findings: places that hold the person, in the order in which they must be erased: galleries are last, because
            their embeddings identify the person in the other places.
        links: number of symbolic links, which were not followed.
    """

    findings: tuple[Finding, ...]
    links: int

    @property
    def erasable(self) -> list[Finding]:
        """Return the findings that can be erased."""
        return [finding for finding in self.findings if finding.erase is not None]

    @property
    def others(self) -> list[Finding]:
        """Return the findings that a person has to look after."""
        return [finding for finding in self.findings if finding.erase is None]


def search_person(
    name: str, directories: Sequence[Path], own: GalleryData | None, location: Path | None
) -> SearchResult:
    """Search directories, with all their subdirectories, for a person.

    Args:
        name: normalized name.
        directories: directories to search.
        own: content of the gallery that the person is to be forgotten in; None: there is none.
        location: its folder, which is left out of the findings; None: it is in Milvus.
    """
    found = discover(directories)
    problems = list(found.problems)
    galleries = _read_all(found.galleries, storage.read, problems)
    backups = _read_all(found.backups, read_backup, problems)
    person = Person(name, own, [data for _, data in galleries + backups])
    findings = [
        *(finding for folder in found.results for finding in search_results(folder, person)),
        *(finding for folder in found.exports for finding in search_export(folder, person)),
        *(finding for path, data in backups for finding in search_backup(path, data, person)),
        *(
            finding
            for folder, data in galleries
            if location is None or folder.resolve() != location.resolve()
            for finding in search_gallery(folder, data, person)
        ),
        *_search_names(found, person),
        *problems,
    ]
    return SearchResult(tuple(findings), found.links)


def _read_all(
    paths: list[Path], read: Callable[[Path], GalleryData], problems: list[Finding]
) -> list[tuple[Path, GalleryData]]:
    """Read galleries or backups; those that cannot be read are added to the problems."""
    contents = []
    for path in paths:
        try:
            contents.append((path, read(path)))
        except OnelookError as error:
            problems.append(Finding(path, f"not searched ({error})", advice="restore or remove it"))
    return contents


def _search_names(found: Discovery, person: Person) -> Iterator[Finding]:
    """Find folders and files with the name, and other files that mention it; they are not changed."""
    for folder in found.folders:
        if person.is_named(folder.name):
            yield Finding(folder, "folder of that name", advice="remove the person's photos yourself")
    for path in found.others:
        if person.is_named(path.stem):
            yield Finding(path, "file of that name", advice="remove it yourself")
        if path.suffix.lower() in _BINARY:
            continue
        try:
            is_mentioned = _mentions(path, person)
        except OSError as error:
            yield unreadable(path, error)
            continue
        if is_mentioned and (".dvc", "cache") in zip(path.parts, path.parts[1:], strict=False):
            advice = "remove the person from the pipeline's data, then `dvc repro` and `dvc gc --workspace`"
            yield Finding(path, "DVC's cache: mentions the name", advice=advice)
        elif is_mentioned:
            yield Finding(path, "mentions the name", advice="edit or remove it yourself")


def _mentions(path: Path, person: Person) -> bool:
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return person.is_mentioned(content)
