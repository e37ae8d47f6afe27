"""GalleryBackend: the storage and search protocol that the FAISS folder and Milvus implement."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from onelook.errors import GalleryError
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, Rejection
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import Deduplication, EnrollmentBatch
from onelook.gallery.gallery_difference import Change
from onelook.gallery.location import Location
from onelook.gallery.ranking import Ranking
from onelook.score_normalization import SimilarityMoments


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The two most similar people of each probe.

    Attributes:
        ranking: two neighbors per probe, as positions in `names`.
        names: the people the ranking refers to; not necessarily all of the gallery.
        people_count: number of people in the gallery.
        others: moments of the similarities of each probe to the people other than the most similar one.
    """

    ranking: Ranking
    names: Sequence[str]
    people_count: int
    others: SimilarityMoments


class GalleryBackend(Protocol):
    """Storage and search of one gallery.

    Names are passed as `normalize_name` returns them. A change that fails raises a GalleryError and leaves the gallery
    unchanged.
    """

    @property
    def location(self) -> Location:
        """Return the folder or Milvus address of the gallery."""

    @property
    def metadata(self) -> GalleryMetadata:
        """Return the model, detection settings and threshold of the gallery."""

    def count_people(self) -> int:
        """Count the enrolled people."""

    def count_photos(self) -> int:
        """Count the enrolled photos."""

    def people(self) -> dict[str, int]:
        """Return the number of photos of every person, sorted by name."""

    def faces_by_person(self) -> dict[str, list[EnrolledFace]]:
        """Return the enrolled faces of every person, sorted by name."""

    def faces_of(self, name: str) -> list[EnrolledFace]:
        """Return the enrolled faces of one person, in the order of enrollment.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """

    def photo_counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of photos of these people, without those who are not enrolled."""

    def find_enrolled(self, digests: Sequence[str]) -> dict[str, str]:
        """Map SHA-256 digests of photos to the person enrolled with them, without photos that are not enrolled."""

    def search(self, probes: np.ndarray) -> SearchResult:
        """Find the two most similar people of every probe (m, d) float32."""

    def describe_search(self) -> str:
        """Describe how people are searched, in a few words for users: exactly, or with which approximation."""

    def find_duplicates(self, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
        """Find people whose templates match those of the given people; see `duplicates.find_duplicates`."""

    def add(self, batch: EnrollmentBatch, *, all_or_nothing: bool) -> Deduplication:
        """Enroll the faces of a batch that are new, and create the gallery if there is none.

        Args:
            batch: faces embedded with the gallery's model.
            all_or_nothing: raise a GalleryError, and add nothing, if a photo is enrolled as another person.

        Returns:
            Which faces were added, already enrolled, or in conflict.
        """

    def rename(self, name: str, new: str) -> None:
        """Give a person a new name."""

    def merge(self, name: str, into: str) -> None:
        """Relabel the photos of `name` as photos of `into`."""

    def forget(self, name: str) -> None:
        """Remove a person."""

    def remove_photos(self, name: str, digests: Collection[str]) -> None:
        """Remove the faces of a person that have one of these SHA-256 digests, but not all faces of the person."""

    def rejections(self) -> Sequence[Rejection]:
        """Return the corrections: faces that are not the person they were identified as."""

    def reject(self, name: str, embedding: np.ndarray) -> None:
        """Record that a face with this embedding (d,) float32 is not the person."""

    @property
    def can_revert(self) -> bool:
        """Return whether changes can be undone, and rejections kept."""

    def record_changes(self) -> AbstractContextManager[list[Change]]:
        """Yield a list to which the changes made through this object are appended, where they can be undone."""

    def revert(self, changes: Sequence[Change]) -> None:
        """Undo changes that `record_changes` recorded; refuse if the gallery has been changed since."""

    def revision(self) -> str:
        """Return a hash of the gallery's content, which every change changes."""

    def refresh(self) -> None:
        """Reload what other processes changed; the gallery is empty if it was deleted."""

    def read_data(self) -> GalleryData:
        """Read the whole gallery into memory, for copies, exports and backups."""


class EmbeddingModel(Protocol):
    """The identity of an embedding model; gallery metadata and a predictor both have it."""

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the model."""

    @property
    def embedding_size(self) -> int:
        """Return the dimension of its embeddings."""


def check_model(location: Location, metadata: GalleryMetadata, model: EmbeddingModel) -> None:
    """Check that a model is the one a gallery was made with.

    Raises:
        GalleryError: it is another model.
    """
    if (metadata.fingerprint, metadata.embedding_size) != (model.fingerprint, model.embedding_size):
        raise GalleryError(
            f"{location}: made with model {metadata.fingerprint[:12]}, this is model {model.fingerprint[:12]}; "
            "embeddings of two models cannot be compared: name its own model (--model), or enroll again in a new folder"
        )
