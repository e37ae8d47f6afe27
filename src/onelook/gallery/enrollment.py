"""Embed enrollment photos into a batch of faces, deduplicate the batch, and add it to a gallery."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene, Split
from onelook.detections import Detections
from onelook.errors import GalleryError, PhotoError
from onelook.face_quality import Quality, measure_face, quality_problem
from onelook.files import sha256
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.names import escape_path, normalize_name
from onelook.gallery.thumbnail import make_thumbnail
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.parallel import batched
from onelook.inference.predictor import Predictor
from onelook.settings import DetectSettings
from onelook.special_functions import logit

# A detection with a lower IoU is not the labeled face (the threshold of PASCAL VOC).
MIN_IOU = 0.5
MAX_LOG_ODDS_GAP = 4.0
"""Log odds of the best detection score minus those of another, above which the other does not count as a face.

On 274 photos of one person each and 250 web photos with labels, this leaves out 10 of 13 boxes without a face, and 6 %
of 299 further faces, which are hidden, blurred or turned away.
"""
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


def embed_person(predictor: Predictor, metadata: GalleryMetadata, name: str, photos: Sequence[Path]) -> EnrollmentBatch:
    """Embed photos that each show one person alone.

    Raises:
        GalleryError: the name cannot be used.
        PhotoError: a photo cannot be read, or does not show exactly one face, frontal, large and sharp enough.
    """
    items = [(normalize_name(name), photo) for photo in photos]
    embedded: list[tuple[EnrolledFace, np.ndarray]] = []
    for batch in batched(items, batch_size(predictor)):
        for result in embed_single_faces(predictor, metadata, batch):
            if isinstance(result, PhotoError):
                raise PhotoError(f"{result}; nobody was enrolled") from result
            embedded.append(result)
    return make_batch(embedded, predictor.embedding_size)


def embed_single_faces(
    predictor: Predictor, metadata: GalleryMetadata, items: Sequence[tuple[str, Path]]
) -> list[tuple[EnrolledFace, np.ndarray] | PhotoError]:
    """Embed photos that each show one person alone, in one forward pass.

    Args:
        predictor: the model.
        metadata: detection settings and limits of face quality.
        items: a normalized name and a photo each.

    Returns:
        For each photo its face and embedding (d,) float32, or the error that rules it out.
    """
    images = [_try_read_image(path) for _, path in items]
    detections = iter(predictor.predict([image for image in images if isinstance(image, np.ndarray)], metadata.detect))
    results: list[tuple[EnrolledFace, np.ndarray] | PhotoError] = []
    for (name, path), image in zip(items, images, strict=True):
        if isinstance(image, PhotoError):
            results.append(image)
            continue
        detected = next(detections)
        try:
            best, quality = _check_single_face(path, image, detected, metadata)
        except PhotoError as error:
            results.append(error)
        else:
            face = _make_face(name, path, quality, make_thumbnail(image, detected.boxes[best]))
            results.append((face, detected.embeddings[best]))
    return results


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
            quality = _measure_quality(image, detected, best, detect)
            thumbnail = make_thumbnail(image, detected.boxes[best])
            face = _make_face(normalize_name(label.identity), path, quality, thumbnail)
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


def _make_face(name: str, path: Path, quality: Quality, thumbnail: str) -> EnrolledFace:
    return EnrolledFace(person=name, photo=escape_path(path), sha256=sha256(path), quality=quality, thumbnail=thumbnail)


def _try_read_image(path: Path) -> np.ndarray | PhotoError:
    try:
        return read_image(path)
    except PhotoError as error:
        return error


def _check_single_face(
    path: Path, image: np.ndarray, detected: Detections, metadata: GalleryMetadata
) -> tuple[int, Quality]:
    """Return the position and the quality of the one face of a photo, without detections far less sure."""
    if len(detected) == 0:
        raise PhotoError(f"{path}: no face found; use a photo with one clear face")
    best = int(detected.scores.argmax())
    count = int((_log_odds(detected.scores) >= _log_odds(detected.scores[best]) - MAX_LOG_ODDS_GAP).sum())
    if count > 1:
        raise PhotoError(f"{path}: {count} faces found; use a photo with one face, or crop it")
    quality = _measure_quality(image, detected, best, metadata.detect)
    problem = quality_problem(quality, metadata.unusable)
    if problem is not None:
        raise PhotoError(f"{path}: {problem}")
    return best, quality


def _log_odds(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6))


def _measure_quality(image: np.ndarray, detected: Detections, face: int, detect: DetectSettings) -> Quality:
    return measure_face(
        image, detected.boxes[face], detected.landmarks[face], detected.scores[face], detect.longest_side
    )
