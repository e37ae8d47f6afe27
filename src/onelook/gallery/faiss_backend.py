"""FaissBackend: a gallery folder, with its people in memory to be searched with FAISS."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from onelook.gallery import snapshots, storage
from onelook.gallery.backend import SearchResult, check_model
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, Rejection, empty_gallery
from onelook.gallery.database import PROCESS_LOCK
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import (
    Deduplication,
    EnrollmentBatch,
    add_new_faces,
    deduplicate,
    digest_to_person,
    refuse_conflicts,
)
from onelook.gallery.faiss_index import describe_search
from onelook.gallery.gallery_difference import Change


class FaissBackend:
    """A gallery folder, searched as it was when it was read, refreshed or last changed through this object.

    Lists of faces are read from the folder at each call. Threads may use one object.
    """

    def __init__(self, folder: Path, metadata: GalleryMetadata | None = None) -> None:
        """Read the gallery.

        Args:
            folder: the gallery.
            metadata: of a new gallery, where there is none, which the first enrollment writes; None: a missing gallery
                is an error.

        Raises:
            GalleryError: the gallery is missing, damaged or of an unknown format.
        """
        self.location = folder
        self._recorded: list[Change] | None = None
        is_new = metadata is not None and not storage.is_gallery(folder)
        self._snapshot = snapshots.make_empty(metadata) if metadata and is_new else snapshots.read(folder)

    @property
    def metadata(self) -> GalleryMetadata:
        """Return the model, detection settings and threshold of the gallery."""
        return self._snapshot.state.metadata

    def count_people(self) -> int:
        """Count the enrolled people."""
        return self._snapshot.people.people_count

    def count_photos(self) -> int:
        """Count the enrolled photos."""
        return self._snapshot.people.content_counts[0]

    def people(self) -> dict[str, int]:
        """Return the number of photos of every person, sorted by name."""
        with PROCESS_LOCK:
            return self._snapshot.people.photo_counts()

    def faces_by_person(self) -> dict[str, list[EnrolledFace]]:
        """Return the enrolled faces of every person, sorted by name."""
        return self.read_data().faces_by_person()

    def faces_of(self, name: str) -> list[EnrolledFace]:
        """Return the enrolled faces of one person, in the order of enrollment."""
        return snapshots.read_person(self.location, name).faces_of(name)

    def photo_counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of photos of these people, without those who are not enrolled."""
        with PROCESS_LOCK:
            return self._snapshot.people.photo_counts(names)

    def find_enrolled(self, digests: Sequence[str]) -> dict[str, str]:
        """Map SHA-256 digests of photos to the person enrolled with them."""
        valid = [digest for digest in digests if digest]
        return snapshots.find_enrolled(self.location, valid) if storage.is_gallery(self.location) else {}

    def search(self, probes: np.ndarray) -> SearchResult:
        """Find the two most similar people of every probe (m, d) float32."""
        with PROCESS_LOCK:
            view = self._snapshot.people.view()
        return view.search(probes)

    def describe_search(self) -> str:
        """Describe the index, before the first search the one that the number of people selects."""
        with PROCESS_LOCK:
            return describe_search(self._snapshot.people.index_kind)

    def find_duplicates(self, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
        """Find people whose templates match those of the given people."""
        with PROCESS_LOCK:
            return self._snapshot.people.find_duplicates(names, self.metadata.threshold_for(self.count_people()))

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

        people = {face.person for face in batch.faces}
        photos = {face.sha256 for face in batch.faces}
        self._note(storage.update(self.location, edit, people=people, photos=photos, initial=self.metadata))
        return result

    def rename(self, name: str, new: str) -> None:
        """Give a person a new name."""
        self._note(storage.update(self.location, lambda data: data.rename(name, new), people={name, new}))

    def merge(self, name: str, into: str) -> None:
        """Relabel the photos of `name` as photos of `into`."""
        self._note(storage.update(self.location, lambda data: data.merge(name, into), people={name, into}))

    def forget(self, name: str) -> None:
        """Remove a person; no file of the gallery keeps the name or an embedding."""
        self._note(storage.update(self.location, lambda data: data.forget(name), people={name}))

    def remove_photos(self, name: str, digests: Collection[str]) -> None:
        """Remove the faces of a person that have one of these SHA-256 digests, but not all faces of the person."""
        self._note(storage.update(self.location, lambda data: data.remove_photos(name, digests), people={name}))

    def rejections(self) -> tuple[Rejection, ...]:
        """Return the corrections: faces that are not the person they were identified as."""
        return self._snapshot.state.rejections

    def reject(self, name: str, embedding: np.ndarray) -> None:
        """Record that a face with this embedding (d,) float32 is not the person."""
        self._note(storage.update(self.location, lambda data: data.reject(name, embedding), people={name}))

    @property
    def can_revert(self) -> bool:
        """Return True: changes can be undone."""
        return True

    @contextmanager
    def record_changes(self) -> Iterator[list[Change]]:
        """Yield a list to which the changes made through this object are appended, for `revert`."""
        recorded: list[Change] = []
        self._recorded = recorded
        try:
            yield recorded
        finally:
            self._recorded = None

    def revert(self, changes: Sequence[Change]) -> None:
        """Undo changes that `record_changes` recorded; refuse if the gallery has been changed since."""
        storage.revert(self.location, changes)
        self.refresh()

    def read_data(self) -> GalleryData:
        """Return the whole gallery."""
        return storage.read(self.location) if storage.is_gallery(self.location) else empty_gallery(self.metadata)

    def revision(self) -> str:
        """Return the SHA-256 of the content, or without a folder that of an empty gallery."""
        version = storage.read_version(self.location)
        return snapshots.make_empty(self.metadata).state.revision if version is None else version[1]

    def refresh(self) -> None:
        """Load what another process changed; the gallery is empty if the folder was deleted."""
        with PROCESS_LOCK:
            version = storage.read_version(self.location)
            if version == self._snapshot.version:
                return
            if version is None:
                snapshot = snapshots.make_empty(self.metadata.model_copy(update={"managed": False}))
            else:
                snapshot = snapshots.read_changes(self.location, self._snapshot)
            check_model(self.location, snapshot.state.metadata, self.metadata)
            self._snapshot = snapshot

    def _note(self, change: Change) -> None:
        if self._recorded is not None:
            self._recorded.append(change)
        self.refresh()
