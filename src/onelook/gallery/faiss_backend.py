"""FaissBackend: a gallery folder held in memory, searched with FAISS, and rewritten atomically at every change."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backend import SearchResult, check_model
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, Rejection, empty_gallery
from onelook.gallery.duplicates import DuplicatePair, find_duplicates
from onelook.gallery.enrollment import (
    Deduplication,
    EnrollmentBatch,
    add_new_faces,
    deduplicate,
    digest_to_person,
    refuse_conflicts,
)
from onelook.gallery.faiss_index import TemplateIndex, describe_search, select_index
from onelook.gallery.faiss_library import count_gpus


class FaissBackend:
    """A gallery folder, as it was when it was read, refreshed or last changed through this object."""

    def __init__(self, folder: Path, data: GalleryData) -> None:
        """Take the folder and its data; the folder need not exist before the first enrollment."""
        self.location = folder
        self._index: TemplateIndex | None
        self._header: bytes | None = b""  # equals no gallery.json, so the first refresh reads the folder
        self._set_data(data)

    @property
    def metadata(self) -> GalleryMetadata:
        """Return the model, detection settings and threshold of the gallery."""
        return self._data.metadata

    def count_people(self) -> int:
        """Count the enrolled people."""
        return len(self._photo_counts)

    def count_photos(self) -> int:
        """Count the enrolled photos."""
        return len(self._data.faces)

    def people(self) -> dict[str, int]:
        """Return the number of photos of every person, sorted by name."""
        return {name: self._photo_counts[name] for name in sorted(self._photo_counts)}

    def faces_by_person(self) -> dict[str, list[EnrolledFace]]:
        """Return the enrolled faces of every person, sorted by name."""
        return self._data.faces_by_person()

    def faces_of(self, name: str) -> list[EnrolledFace]:
        """Return the enrolled faces of one person, in the order of enrollment."""
        return self._data.faces_of(name)

    def photo_counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of photos of these people, without those who are not enrolled."""
        return {name: self._photo_counts[name] for name in names if name in self._photo_counts}

    def find_enrolled(self, digests: Sequence[str]) -> dict[str, str]:
        """Map SHA-256 digests of photos to the person enrolled with them."""
        return {digest: self._enrolled[digest] for digest in digests if digest in self._enrolled}

    def search(self, probes: np.ndarray) -> SearchResult:
        """Find the two most similar people of every probe (m, d) float32."""
        if self._index is None:  # built at the first search: a bulk enrollment of many saves needs no index
            self._index = TemplateIndex(self._data.embeddings, self._data.identities, self._data.weights)
        ranking, people_count = self._index.search(probes), len(self._index.names)
        others = self._index.moments.of_others(probes, ranking.similarities[:, 0])
        return SearchResult(ranking, self._index.names, people_count, others)

    def describe_search(self) -> str:
        """Describe the index, before the first search the one that the number of people selects."""
        index = self._index
        return describe_search(select_index(self.count_people(), count_gpus()) if index is None else index.kind)

    def find_duplicates(self, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
        """Find people whose templates match those of the given people."""
        return find_duplicates(self._data, names)

    def add(self, batch: EnrollmentBatch, *, all_or_nothing: bool) -> Deduplication:
        """Enroll the faces of a batch that are new, and create the gallery if there is none."""
        result = Deduplication((), (), ())

        def edit(data: GalleryData) -> GalleryData:
            nonlocal result
            check_model(self.location, data.metadata, self.metadata)
            # Against the folder as it is now: another process may have enrolled people since it was read.
            result = deduplicate(digest_to_person(data), batch)
            if all_or_nothing:
                refuse_conflicts(batch, result)
            return add_new_faces(data, batch, result)

        self._set_data(storage.update(self.location, edit, initial=self.metadata))
        return result

    def rename(self, name: str, new: str) -> None:
        """Give a person a new name."""
        self._update(lambda data: data.rename(name, new))

    def merge(self, name: str, into: str) -> None:
        """Relabel the photos of `name` as photos of `into`."""
        self._update(lambda data: data.merge(name, into))

    def forget(self, name: str) -> None:
        """Remove a person; no file of the gallery keeps the name or an embedding."""
        self._update(lambda data: data.forget(name))

    def remove_photos(self, name: str, digests: Collection[str]) -> None:
        """Remove the faces of a person that have one of these SHA-256 digests, but not all faces of the person."""
        self._update(lambda data: data.remove_photos(name, digests))

    def rejections(self) -> tuple[Rejection, ...]:
        """Return the corrections: faces that are not the person they were identified as."""
        return self._data.rejections

    def reject(self, name: str, embedding: np.ndarray) -> None:
        """Record that a face with this embedding (d,) float32 is not the person."""
        self._update(lambda data: data.reject(name, embedding))

    def snapshot(self) -> GalleryData:
        """Return the present content for `revert`."""
        return self._data

    def revert(self, before: GalleryData, after: GalleryData) -> None:
        """Replace the content `after` by `before`, both of `snapshot`; refuse if it has been changed since."""

        def edit(current: GalleryData) -> GalleryData:
            if not current.has_content_of(after):
                raise GalleryError(f"{self.location}: has been changed since; nothing was undone")
            return before

        self._update(edit)

    def read_data(self) -> GalleryData:
        """Return the whole gallery."""
        return self._data

    def revision(self) -> str:
        """Return the SHA-256 of gallery.json, which contains the digests of the other files.

        Without a folder it is the SHA-256 of the metadata.
        """
        header = storage.read_header(self.location)
        if header is None:
            header = self.metadata.model_dump_json(by_alias=True).encode()
        return hashlib.sha256(header).hexdigest()

    def refresh(self) -> None:
        """Reload the folder if another process changed it; the gallery is empty if the folder was deleted."""
        header = storage.read_header(self.location)  # before the data: a change in between is found at the next refresh
        if header == self._header:
            return
        if header is None:
            data = empty_gallery(self.metadata.model_copy(update={"managed": False}))
        else:
            data = storage.read(self.location)
        check_model(self.location, data.metadata, self.metadata)
        self._set_data(data)
        self._header = header

    def _update(self, edit: Callable[[GalleryData], GalleryData]) -> None:
        self._set_data(storage.update(self.location, edit))

    def _set_data(self, data: GalleryData) -> None:
        self._data = data
        self._photo_counts = Counter(data.identities)
        self._enrolled = digest_to_person(data)
        self._index = None
