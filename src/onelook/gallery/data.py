"""What a gallery holds: its terms, and who each enrolled row is; and the changes that can be made to it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from onelook.errors import GalleryError
from onelook.gallery.face_quality import Quality
from onelook.open_set import ImpostorModel
from onelook.settings import DetectSettings


class Part(BaseModel):
    """A part of a gallery's files: no key is unknown, no number infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class GalleryMetadata(Part):
    """What a gallery was made with, fixed for its life."""

    fingerprint: str = Field(min_length=1, description="of the model whose embeddings it holds")
    embedding_size: PositiveInt
    threshold: float = Field(description="lowest similarity at which a face gets a name, where nothing is `unknown`")
    target_fpir: float = Field(gt=0, lt=1, description="false-positive identification rate the threshold was set for")
    detect: DetectSettings = Field(description="how photos are looked at; the threshold holds only for this")
    managed: bool = Field(description="true: the pipeline rebuilds it, so changes by hand would be lost")
    unknown: ImpostorModel | None = Field(
        default=None, description="how the threshold follows the size; null: it does not"
    )

    def threshold_for(self, people: int) -> float:
        """The lowest similarity at which a face gets a name, with so many people enrolled."""
        return self.threshold if self.unknown is None else self.unknown.threshold(self.target_fpir, people)


class Entry(Part):
    """Who an enrolled row is and where it comes from."""

    person: str = Field(min_length=1)
    photo: str = Field(description="the photo's path as it was given")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the photo's bytes")
    quality: Quality | None = Field(default=None, description="None: enrolled before photos were measured")
    thumbnail: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9+/]+=*$", description="see `thumbnail`; None: enrolled before there were any"
    )

    @property
    def weight(self) -> float:
        """How much the row counts in its person's template, above 0 and at most 1."""
        return 1.0 if self.quality is None else self.quality.weight


@dataclass(frozen=True, eq=False)
class GalleryData:
    """All a gallery holds.

    Attributes:
        terms: what it was made with.
        entries: one per row, in the order of enrollment.
        embeddings: (n, terms.embedding_size) float32, L2-normalized rows; row i is entries[i].
    """

    terms: GalleryMetadata
    entries: tuple[Entry, ...]
    embeddings: np.ndarray

    def people(self) -> dict[str, list[Entry]]:
        """The rows of every person, people sorted by name."""
        rows: dict[str, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.person):
            rows.setdefault(entry.person, []).append(entry)
        return rows

    @property
    def owners(self) -> list[str]:
        """Whose each row is."""
        return [entry.person for entry in self.entries]

    def weighted(self) -> np.ndarray:
        """The rows (n, d) float32 as long as they count: the direction of a person's sum is the person's template."""
        weights = np.asarray([entry.weight for entry in self.entries], np.float32)
        return self.embeddings * weights[:, None]

    def adding(self, entries: tuple[Entry, ...], embeddings: np.ndarray) -> "GalleryData":
        """With these rows added at the end."""
        return GalleryData(self.terms, self.entries + entries, np.concatenate([self.embeddings, embeddings]))

    def without(self, person: str) -> "GalleryData":
        """With every row of one person taken out.

        Raises:
            GalleryError: there is nobody of that name.
        """
        self._check_known(person)
        keep = np.asarray([entry.person != person for entry in self.entries], bool)
        entries = tuple(entry for entry in self.entries if entry.person != person)
        return GalleryData(self.terms, entries, self.embeddings[keep])

    def renamed(self, person: str, name: str) -> "GalleryData":
        """With a person under another name.

        Raises:
            GalleryError: there is nobody of that name, or somebody of the new one.
        """
        self._check_known(person)
        if name != person and name in self.owners:
            raise GalleryError(f"{name}: enrolled already; `onelook merge` makes two people one")
        return self._with_people(lambda known: name if known == person else known)

    def merged(self, person: str, into: str) -> "GalleryData":
        """With one person's rows given to another.

        Raises:
            GalleryError: there is nobody of one of the names, or both are the same.
        """
        self._check_known(person)
        self._check_known(into)
        if person == into:
            raise GalleryError(f"{person}: cannot be merged with itself; name two people")
        return self._with_people(lambda known: into if known == person else known)

    def _check_known(self, person: str) -> None:
        if person not in self.owners:
            raise GalleryError(f"{person}: nobody of that name is enrolled; `onelook gallery` lists who is")

    def _with_people(self, name: Callable[[str], str]) -> "GalleryData":
        entries = tuple(entry.model_copy(update={"person": name(entry.person)}) for entry in self.entries)
        return GalleryData(self.terms, entries, self.embeddings)


def empty_gallery(terms: GalleryMetadata) -> GalleryData:
    """A gallery with nobody in it."""
    return GalleryData(terms, (), np.empty((0, terms.embedding_size), np.float32))
