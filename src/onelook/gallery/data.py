"""Gallery records: metadata, enrolled faces with their embeddings, and the edits that people make to them."""

import base64
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from onelook.errors import GalleryError
from onelook.face_quality import DEFAULT_UNUSABLE, Quality, QualityLimits
from onelook.gallery.forgetting import Forgetting, drop_entries, record_forgetting
from onelook.open_set import ImpostorModel, OpenSetModel
from onelook.settings import DetectSettings

CONTROL_CHARACTERS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""Line breaks and commands of a terminal, as a class of a pattern: no version of onelook takes a name with one."""

_BASE64 = r"^[A-Za-z0-9+/]+=*$"
_PERSON = rf"^[^{CONTROL_CHARACTERS}]+$"
# Similarity above which two embeddings are of one face of one photo, not of two photos.
_SAME_FACE = 0.999


class StrictModel(BaseModel):
    """A record of a gallery file: unknown keys, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


class GalleryMetadata(StrictModel):
    """Model, detection settings and threshold of a gallery, fixed when it is created."""

    fingerprint: str = Field(min_length=1, description="fingerprint of the model that computed the embeddings")
    embedding_size: PositiveInt
    threshold: float = Field(description="lowest similarity at which a face is named, without an impostor model")
    target_fpir: float = Field(gt=0, lt=1, description="false-positive identification rate the threshold was set for")
    detect: DetectSettings = Field(description="detection settings that the threshold was calibrated with")
    managed: bool = Field(description="true: the pipeline rebuilds this gallery, so changes by hand would be lost")
    # The key in the files is `unknown`, so that galleries written before the attribute was renamed still open.
    impostor_model: ImpostorModel | None = Field(
        default=None, alias="unknown", description="model of the threshold by gallery size; null: `threshold` holds"
    )
    open_set: OpenSetModel | None = Field(
        default=None, description="model of the decision by face; null: one threshold holds for every face"
    )

    @property
    def unusable(self) -> QualityLimits:
        """Return the limits of face quality beyond which a photo is not enrolled."""
        return DEFAULT_UNUSABLE if self.open_set is None else self.open_set.unusable

    def with_fpir(self, fpir: float) -> "GalleryMetadata":
        """Return the metadata for another false-positive identification rate.

        Raises:
            GalleryError: the rate is no fraction, or the calibration has a single threshold.
        """
        if not 0 < fpir < 1:
            raise GalleryError(f"rate {fpir:g}: must lie between 0 and 1, such as 0.001")
        if self.open_set is None and self.impostor_model is None:
            raise GalleryError(
                f"rate {fpir:g}: the calibration has one threshold, for a rate of {self.target_fpir:g}; calibrate the "
                "model on more people to choose another"
            )
        return self.model_copy(update={"target_fpir": fpir})

    def typical_threshold(self, people: int) -> float:
        """Return the identification threshold of a typical face in a gallery with `people` people."""
        if self.open_set is None:
            return self.threshold_for(people)
        return self.open_set.typical_threshold(self.target_fpir, people)

    def threshold_for(self, people: int) -> float:
        """Return the threshold with `people` people, the same for every face.

        It compares templates, such as those of two people or of a track. A face is identified by `open_set`, if there
        is one.
        """
        if self.impostor_model is None:
            return self.threshold
        return self.impostor_model.threshold(self.target_fpir, people)


class EnrolledFace(StrictModel):
    """An enrolled face: the person, the photo it comes from, its quality and its thumbnail."""

    person: str = Field(pattern=_PERSON)
    photo: str = Field(description="path of the photo, as it was given")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the photo's bytes")
    quality: Quality | None = Field(default=None, description="None: enrolled by a version that did not measure it")
    thumbnail: str | None = Field(
        default=None, pattern=_BASE64, description="JPEG in base64; None: enrolled by an older version"
    )

    @property
    def weight(self) -> float:
        """Return the weight of the embedding in its person's template, 0 < weight <= 1."""
        return 1.0 if self.quality is None else self.quality.weight


class Rejection(StrictModel):
    """A correction by a user: a face that is not the person it was identified as."""

    person: str = Field(pattern=_PERSON)
    embedding: str = Field(pattern=_BASE64, description="embedding of the face, float32 little-endian in base64")

    @property
    def vector(self) -> np.ndarray:
        """Return the embedding (d,) float32."""
        return np.frombuffer(base64.b64decode(self.embedding), "<f4")


@dataclass(frozen=True, eq=False)
class GalleryData:
    """The content of a gallery, or the part of it that a change concerns; an edit returns a changed copy.

    Attributes:
        metadata: model, detection settings and threshold.
        faces: one record per enrolled face, in the order of enrollment.
        embeddings: (n, metadata.embedding_size) float32, L2-normalized; row i belongs to faces[i].
        rejections: faces that are not one of the people, in the order in which they were rejected.
        forgotten: record of the people who were forgotten, without their names.
        ids: n numbers of the rows in a gallery's database, -1 of faces that have none yet; None: it is in none.
        other_people: number of people of the gallery whom this part of it leaves out.
    """

    metadata: GalleryMetadata
    faces: tuple[EnrolledFace, ...]
    embeddings: np.ndarray
    rejections: tuple[Rejection, ...] = ()
    forgotten: tuple[Forgetting, ...] = ()
    ids: tuple[int, ...] | None = None
    other_people: int = 0

    @property
    def identities(self) -> list[str]:
        """Return the person of each embedding."""
        return [face.person for face in self.faces]

    @property
    def row_ids(self) -> tuple[int, ...]:
        """Return the number of each row in the database, -1 of faces that have none."""
        return (-1,) * len(self.faces) if self.ids is None else self.ids

    @property
    def weights(self) -> np.ndarray:
        """Return the template weight (n,) float64 of each embedding."""
        return np.asarray([face.weight for face in self.faces], np.float64)

    def faces_by_person(self) -> dict[str, list[EnrolledFace]]:
        """Group the enrolled faces by person, people sorted by name."""
        grouped: dict[str, list[EnrolledFace]] = {}
        for face in sorted(self.faces, key=lambda face: face.person):
            grouped.setdefault(face.person, []).append(face)
        return grouped

    def faces_of(self, person: str) -> list[EnrolledFace]:
        """Return the faces of one person.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """
        self._require_person(person)
        return [face for face in self.faces if face.person == person]

    def add(self, faces: tuple[EnrolledFace, ...], embeddings: np.ndarray) -> "GalleryData":
        """Append enrolled faces and their embeddings (k, d) float32.

        A rejection of such a face and person ends. A person who was forgotten and is enrolled again leaves the record.
        """
        rejections = tuple(
            rejection
            for rejection in self.rejections
            if not any(
                face.person == rejection.person and row @ rejection.vector > _SAME_FACE
                for face, row in zip(faces, embeddings, strict=True)
            )
        )
        added = np.concatenate([self.embeddings, embeddings])
        forgotten = drop_entries(self.forgotten, {face.person for face in faces} - set(self.identities))
        ids = self.row_ids + (-1,) * len(faces)
        faces = self.faces + faces
        return replace(self, faces=faces, embeddings=added, rejections=rejections, forgotten=forgotten, ids=ids)

    def remove(self, person: str) -> "GalleryData":
        """Remove all faces of one person, and the rejections of that name or of a face that matches the person.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """
        self._require_person(person)
        keep = np.asarray([face.person != person for face in self.faces], bool)
        own = self.embeddings[~keep]
        threshold = self.metadata.threshold_for(len(set(self.identities)) + self.other_people)
        rejections = tuple(
            rejection
            for rejection in self.rejections
            if rejection.person != person and (own @ rejection.vector).max() < threshold
        )
        return replace(self._select(keep), rejections=rejections)

    def forget(self, person: str, day: date | None = None) -> "GalleryData":
        """Remove one person, as `remove` does, and record that without the name.

        Args:
            person: the person.
            day: day of the record; None: today.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """
        photos = [face.sha256 for face in self.faces_of(person)]
        record = record_forgetting(self.forgotten, person, photos, day or date.today())
        return replace(self.remove(person), forgotten=record)

    def reject(self, person: str, embedding: np.ndarray) -> "GalleryData":
        """Record that a face with this embedding (d,) float32 is not the person.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """
        self._require_person(person)
        text = base64.b64encode(embedding.astype("<f4").tobytes()).decode()
        return replace(self, rejections=(*self.rejections, Rejection(person=person, embedding=text)))

    def without_rejections(self, indices: Collection[int]) -> "GalleryData":
        """Remove rejections by their positions."""
        kept = tuple(rejection for i, rejection in enumerate(self.rejections) if i not in indices)
        return replace(self, rejections=kept)

    def remove_photos(self, person: str, digests: Collection[str]) -> "GalleryData":
        """Remove the faces of one person that have one of these SHA-256 digests.

        Raises:
            GalleryError: nobody of that name is enrolled, or no face would be left.
        """
        self._require_person(person)
        keep = np.asarray([face.person != person or face.sha256 not in digests for face in self.faces], bool)
        changed = self._select(keep)
        if person not in changed.identities:
            raise GalleryError(f"{person}: has no other photo; `onelook forget` removes the person")
        return changed

    def rename(self, person: str, name: str) -> "GalleryData":
        """Give one person a new name.

        Raises:
            GalleryError: nobody of the old name is enrolled, or somebody of the new one is.
        """
        self._require_person(person)
        if name != person and name in self.identities:
            raise GalleryError(f"{name}: enrolled already; `onelook merge` makes two people one")
        return self._relabel(person, name)

    def merge(self, person: str, into: str) -> "GalleryData":
        """Relabel the faces of `person`, and the rejections, as those of `into`.

        Raises:
            GalleryError: nobody of one of the names is enrolled, or both names are the same.
        """
        self._require_person(person)
        self._require_person(into)
        if person == into:
            raise GalleryError(f"{person}: cannot be merged with itself; name two people")
        return self._relabel(person, into)

    def _select(self, keep: np.ndarray) -> "GalleryData":
        """Keep the faces where `keep` (n,) is true."""
        faces = tuple(face for face, is_kept in zip(self.faces, keep, strict=True) if is_kept)
        ids = None if self.ids is None else tuple(np.asarray(self.ids, np.int64)[keep].tolist())
        return replace(self, faces=faces, embeddings=self.embeddings[keep], ids=ids)

    def _require_person(self, person: str) -> None:
        if person not in self.identities:
            raise GalleryError(f"{person}: nobody of that name is enrolled; `onelook gallery` lists who is")

    def _relabel(self, person: str, name: str) -> "GalleryData":
        faces = tuple(
            face.model_copy(update={"person": name}) if face.person == person else face for face in self.faces
        )
        rejections = tuple(
            each.model_copy(update={"person": name}) if each.person == person else each for each in self.rejections
        )
        return replace(self, faces=faces, rejections=rejections)


def empty_gallery(metadata: GalleryMetadata) -> GalleryData:
    """Return gallery data without people."""
    return GalleryData(metadata, (), np.empty((0, metadata.embedding_size), np.float32))
