"""Enroll many people: saved at intervals, resumable after a crash, with every skipped photo reported."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.errors import PhotoError
from onelook.files import sha256
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.data import EnrolledFace, GalleryMetadata
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import BATCH_SIZE, batch_size, make_batch, quality_warnings
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.photo_enrollment import embed_single_faces
from onelook.gallery.similar_names import find_similar_names
from onelook.inference.parallel import batched, parallel_map
from onelook.inference.predictor import Predictor
from onelook.names import escape_invisible, escape_path, normalize_name

SAVE_INTERVAL = 64
"""Photos between two saves, which take some milliseconds whatever the size of the gallery."""


@dataclass(frozen=True)
class SkippedPhoto:
    """A photo that was not enrolled.

    Attributes:
        name: person it was meant for.
        photo: path of the photo.
        reason: one line: what is wrong, where, and what to do.
    """

    name: str
    photo: str
    reason: str


@dataclass(frozen=True)
class EnrollmentReport:
    """The result of a bulk enrollment.

    Attributes:
        added: number of photos enrolled.
        already_enrolled: number of photos that the person had already.
        skipped: the photos not enrolled for another reason, sorted by name and photo.
        warnings: one line for each enrolled photo whose face is hard to recognize.
        missing_people: people of the list without any photo in the gallery, sorted.
        duplicates: pairs of an enrolled person of this run and somebody who may be the same person.
        similar_names: pairs of a listed name, newly enrolled or missing, and an enrolled name that differs a little.
    """

    added: int
    already_enrolled: int
    skipped: tuple[SkippedPhoto, ...]
    warnings: tuple[str, ...]
    missing_people: tuple[str, ...]
    duplicates: tuple[DuplicatePair, ...]
    similar_names: tuple[tuple[str, str], ...]


PhotoResult = tuple[EnrollmentItem, tuple[EnrolledFace, np.ndarray] | PhotoError]
"""An item with its face and embedding (d,) float32, or with the error that rules the photo out."""
EmbedPhotos = Callable[[Iterator[EnrollmentItem]], Iterator[PhotoResult]]
"""A function that embeds photos and yields the results in their order."""


def embed_in_batches(
    predictor: Predictor, metadata: GalleryMetadata, items: Iterator[EnrollmentItem]
) -> Iterator[PhotoResult]:
    """Embed photos that each show one person alone, batch by batch in parallel threads.

    Items are consumed only a few batches ahead of the results.
    """

    def embed(batch: list[EnrollmentItem]) -> list[PhotoResult]:
        results = embed_single_faces(predictor, metadata, [(item.name, item.photo) for item in batch])
        return list(zip(batch, results, strict=True))

    with closing(parallel_map(embed, batched(items, batch_size(predictor)))) as batches:
        for results in batches:
            yield from results


class BulkEnrollment:
    """A run that enrolls the photos of many people into a gallery."""

    def __init__(self, backend: GalleryBackend, embed_photos: EmbedPhotos) -> None:
        """Take the backend to enroll into, and the function that embeds photos."""
        self._backend = backend
        self._embed_photos = embed_photos
        self._added = 0
        self._already_enrolled = 0
        self._listed_people: set[str] = set()
        self._changed_people: set[str] = set()
        self._skipped: list[SkippedPhoto] = []
        self._warnings: list[str] = []

    def run(self, items: Iterable[EnrollmentItem]) -> EnrollmentReport:
        """Embed and enroll photos; photos that are enrolled already are skipped by their SHA-256.

        A person whose name cannot be used is skipped, too.

        Raises:
            GalleryError: the gallery cannot be changed; earlier saves stay.
        """
        embedded: list[tuple[EnrolledFace, np.ndarray]] = []
        for item, result in self._embed_photos(self._drop_enrolled(items)):
            if isinstance(result, PhotoError):
                self._skip(item.name, escape_path(item.photo), str(result))
            else:
                embedded.append(result)
            if len(embedded) >= SAVE_INTERVAL:
                self._save(embedded)
                embedded = []
        self._save(embedded)
        enrolled = set(self._backend.photo_counts(self._listed_people))
        missing = self._listed_people - enrolled
        unfamiliar = self._changed_people | missing
        return EnrollmentReport(
            added=self._added,
            already_enrolled=self._already_enrolled,
            skipped=tuple(sorted(self._skipped, key=lambda photo: (photo.name, photo.photo))),
            warnings=tuple(sorted(self._warnings)),
            missing_people=tuple(sorted(missing)),
            duplicates=self._backend.find_duplicates(self._changed_people),
            similar_names=find_similar_names(unfamiliar, self._backend.people()) if unfamiliar else (),
        )

    def _drop_enrolled(self, items: Iterable[EnrollmentItem]) -> Iterator[EnrollmentItem]:
        for listed in batched(items, BATCH_SIZE):
            for item in listed:
                if item.problem:
                    self._skip(escape_invisible(item.name), escape_path(item.photo), item.problem)
            batch = [item for item in listed if not item.problem]
            digests = [_digest_or_empty(item.photo) for item in batch]
            enrolled = self._backend.find_enrolled(digests)  # one call per batch: with Milvus it is a network request
            for item, digest in zip(batch, digests, strict=True):
                name, photo = normalize_name(item.name), escape_path(item.photo)
                self._listed_people.add(name)
                person = enrolled.get(digest)
                if person is None:
                    yield EnrollmentItem(name, item.photo)
                elif person == name:
                    self._already_enrolled += 1
                else:
                    self._skip(name, photo, _conflict_message(photo, person))

    def _save(self, embedded: list[tuple[EnrolledFace, np.ndarray]]) -> None:
        if not embedded:
            return
        batch = make_batch(embedded, self._backend.metadata.embedding_size)
        result = self._backend.add(batch, all_or_nothing=False)
        self._added += len(result.new)
        self._already_enrolled += len(result.already_enrolled)
        self._warnings.extend(quality_warnings((batch.faces[i] for i in result.new), self._backend.metadata))
        self._changed_people.update(batch.faces[i].person for i in result.new)
        for i, person in result.conflicts:
            face = batch.faces[i]
            self._skip(face.person, face.photo, _conflict_message(face.photo, person))

    def _skip(self, name: str, photo: str, reason: str) -> None:
        self._skipped.append(SkippedPhoto(name, photo, reason))


def _digest_or_empty(path: Path) -> str:
    try:
        return sha256(path) if path.is_file() else ""  # a pipe or a device may have no end
    except (OSError, RuntimeError):  # reported when the photo is read to be embedded
        return ""


def _conflict_message(photo: str, person: str) -> str:
    return f"{photo}: this photo is enrolled as {person}; take it from one of the two"
