"""Batches of faces to enroll: of labeled scenes, deduplicated, and added to a gallery."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene, Split
from onelook.detections import Detections
from onelook.errors import GalleryError
from onelook.face_quality import Quality, measure_face
from onelook.files import sha256
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.thumbnail import make_thumbnail
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.parallel import batched
from onelook.inference.predictor import Predictor
from onelook.names import escape_path, normalize_name
from onelook.settings import DetectSettings

# A detection with a lower IoU is not the labeled face (the threshold of PASCAL VOC).
MIN_IOU = 0.5
BATCH_SIZE = 8
"""Photos per forward pass on the CPU: eight photos of a phone take 0.3 GB, and larger batches are hardly faster."""


@dataclass(frozen=True, eq=False)
class EnrollmentBatch:
    """Faces to enroll, with their embeddings (n, d) float32."""

    faces: tuple[EnrolledFace, ...]
    embeddings: np.ndarray


@dataclass(frozen=True)
class Deduplication:
    """A batch compared with a gallery by the SHA-256 of the photos; all numbers are positions in the batch.

    Attributes:
        new: faces to add.
        already_enrolled: faces whose photo the same person has already, in the gallery or earlier in the batch.
        conflicts: faces whose photo is enrolled as another person, with that person's name.
    """

    new: tuple[int, ...]
    already_enrolled: tuple[int, ...]
    conflicts: tuple[tuple[int, str], ...]


def batch_size(predictor: Predictor) -> int:
    """Return the number of photos to read and predict at once: BATCH_SIZE, or more if the device needs it."""
    return max(BATCH_SIZE, predictor.min_batch_size)


def embed_labeled_scenes(
    predictor: Predictor, detect: DetectSettings, manifest: Manifest, split: Split
) -> tuple[EnrollmentBatch, list[Path]]:
    """Embed the labeled faces of the enrollment photos of a split.

    Small and blurred faces are taken too, because the label says whose they are; their template weight is low.

    Returns:
        The batch, in the manifest's order, and the photos in which a labeled face was not detected.

    Raises:
        PhotoError: a photo cannot be read.
        GalleryError: no labeled face was detected.
    """
    embedded: list[tuple[EnrolledFace, np.ndarray]] = []
    missed: list[Path] = []
    for scene, image, detected in _predict_scenes(predictor, detect, manifest, split):
        path = manifest.path(scene)
        for label in scene.faces:
            if label.identity is None:
                continue
            overlaps = pairwise_iou(label.box[None], detected.boxes)[0]
            if len(detected) == 0 or overlaps.max() < MIN_IOU:
                missed.append(path)
                continue
            best = int(overlaps.argmax())
            quality = measure_quality(image, detected, best, detect)
            thumbnail = make_thumbnail(image, detected.boxes[best])
            face = EnrolledFace(
                person=normalize_name(label.identity),
                photo=escape_path(path),
                sha256=sha256(path),
                quality=quality,
                thumbnail=thumbnail,
            )
            embedded.append((face, detected.embeddings[best]))
    if not embedded:
        raise GalleryError(
            f"{manifest.root}: no labeled face was detected in the enrollment photos of {split}; nobody can be enrolled"
        )
    return make_batch(embedded, predictor.embedding_size), missed


def _predict_scenes(
    predictor: Predictor, detect: DetectSettings, manifest: Manifest, split: Split
) -> Iterator[tuple[Scene, np.ndarray, Detections]]:
    """Yield the enrollment photos of a split with their detections; on the CPU, photos are predicted one by one."""
    for scenes in batched(manifest.select(split, "enroll"), predictor.min_batch_size):
        images = [read_image(manifest.path(scene)) for scene in scenes]
        yield from zip(scenes, images, predictor.predict(images, detect), strict=True)


def digest_to_person(data: GalleryData) -> dict[str, str]:
    """Map the SHA-256 of every enrolled photo to its person."""
    return {face.sha256: face.person for face in data.faces}


def deduplicate(enrolled: Mapping[str, str], batch: EnrollmentBatch) -> Deduplication:
    """Compare a batch with the enrolled photos, given as a map of SHA-256 to person."""
    people = dict(enrolled)
    new: list[int] = []
    already_enrolled: list[int] = []
    conflicts: list[tuple[int, str]] = []
    for number, face in enumerate(batch.faces):
        person = people.get(face.sha256)
        if person is None:
            people[face.sha256] = face.person
            new.append(number)
        elif person == face.person:
            already_enrolled.append(number)
        else:
            conflicts.append((number, person))
    return Deduplication(tuple(new), tuple(already_enrolled), tuple(conflicts))


def add_batch(data: GalleryData, batch: EnrollmentBatch) -> GalleryData:
    """Add the new faces of a batch to gallery data.

    Raises:
        GalleryError: a photo is enrolled as another person.
    """
    result = deduplicate(digest_to_person(data), batch)
    refuse_conflicts(batch, result)
    return add_new_faces(data, batch, result)


def refuse_conflicts(batch: EnrollmentBatch, result: Deduplication) -> None:
    """Check that no photo of a batch is enrolled as another person.

    Raises:
        GalleryError: a photo is.
    """
    for number, person in result.conflicts:
        raise GalleryError(f"{batch.faces[number].photo}: this photo is enrolled as {person}; nobody was enrolled")


def add_new_faces(data: GalleryData, batch: EnrollmentBatch, result: Deduplication) -> GalleryData:
    """Add the faces of a batch that deduplication found to be new."""
    return data.add(tuple(batch.faces[i] for i in result.new), batch.embeddings[list(result.new)])


def make_batch(embedded: Sequence[tuple[EnrolledFace, np.ndarray]], size: int) -> EnrollmentBatch:
    """Stack faces and their embeddings (size,) float32 into a batch."""
    embeddings = np.asarray([embedding for _, embedding in embedded], np.float32).reshape(len(embedded), size)
    return EnrollmentBatch(tuple(face for face, _ in embedded), embeddings)


def quality_warnings(faces: Iterable[EnrolledFace], metadata: GalleryMetadata) -> tuple[str, ...]:
    """Describe the faces that are hard to recognize, as in "ada.jpg: 22 px, blurred", one line a photo."""
    if metadata.open_set is None:
        return ()
    problems = [(face.photo, metadata.open_set.poor.describe_problems(face.quality)) for face in faces if face.quality]
    return tuple(f"{photo}: {problem}" for photo, problem in problems if problem is not None)


def measure_quality(image: np.ndarray, detected: Detections, face: int, detect: DetectSettings) -> Quality:
    """Measure the quality of one of the detected faces of an image."""
    return measure_face(
        image, detected.boxes[face], detected.landmarks[face], detected.scores[face], detect.longest_side
    )
