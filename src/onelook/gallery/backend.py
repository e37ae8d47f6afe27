"""What a gallery keeps its people in and finds them by: a folder and FAISS, or Milvus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from onelook.errors import GalleryError
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import Rows, Sorting
from onelook.gallery.faiss_index import Ranking
from onelook.gallery.location import Location


@dataclass(frozen=True, eq=False)
class Nearest:
    """The most similar people of some probes.

    Attributes:
        ranking: two people a probe, places in `names`.
        names: the people whom the ranking numbers; not all of the gallery's need be among them.
        people: how many people the gallery has.
    """

    ranking: Ranking
    names: Sequence[str]
    people: int


class GalleryBackend(Protocol):
    """The people of one gallery, kept and searched.

    Names are taken as `check_name` makes them. Changes raise a GalleryError where the gallery cannot be changed, and
    leave it then as it was.
    """

    @property
    def place(self) -> Location:
        """Where the gallery is."""

    @property
    def terms(self) -> GalleryMetadata:
        """What it was made with."""

    def count_people(self) -> int:
        """How many people are enrolled."""

    def count_photos(self) -> int:
        """How many photos are enrolled."""

    def people(self) -> dict[str, int]:
        """How many photos everyone is enrolled with, sorted by name."""

    def entries(self) -> dict[str, list[Entry]]:
        """What everyone is enrolled with, people sorted by name."""

    def known(self, names: Iterable[str]) -> dict[str, int]:
        """How many photos those of these people have who are enrolled."""

    def owners(self, digests: Sequence[str]) -> dict[str, str]:
        """Whose photos these are, by the SHA-256 of their bytes; who is enrolled with none of them is left out."""

    def search(self, probes: np.ndarray) -> Nearest:
        """The most similar people of every probe (m, d) float32."""

    def find_duplicates(self, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
        """Whom these people resemble as much as a face must to get the name; see `alike.find_duplicates`."""

    def add(self, rows: Rows, *, whole: bool) -> Sorting:
        """Enroll the rows that the gallery lacks, and begin it where there is none.

        Args:
            rows: of the model that made the gallery.
            whole: nothing is added, and a GalleryError raised, where a photo is enrolled as somebody else.

        Returns:
            What became of each row.
        """

    def rename(self, name: str, new: str) -> None:
        """Give a person another name, which nobody has."""

    def merge(self, name: str, into: str) -> None:
        """Give one person's photos to another."""

    def forget(self, name: str) -> None:
        """Remove a person."""

    def revision(self) -> str:
        """What tells the gallery as it is now from the gallery before and after any change."""

    def refresh(self) -> None:
        """Take what others changed meanwhile; nobody where the gallery is gone."""

    def contents(self) -> GalleryData:
        """All of it, read into memory: for copies, never for an answer or a change."""


class Made(Protocol):
    """What tells one model from another: terms do, and a looker does."""

    @property
    def fingerprint(self) -> str:
        """Of the model."""

    @property
    def embedding_size(self) -> int:
        """Length of its embeddings."""


def check_model(place: Location, terms: GalleryMetadata, made: Made) -> None:
    """Refuse a model other than the one a gallery was made with.

    Raises:
        GalleryError: it is another.
    """
    if (terms.fingerprint, terms.embedding_size) != (made.fingerprint, made.embedding_size):
        raise GalleryError(
            f"{place}: made with model {terms.fingerprint[:12]}, this is model {made.fingerprint[:12]}; embeddings "
            "of two models cannot be compared: name its own model (--model), or enroll again in a new folder"
        )
