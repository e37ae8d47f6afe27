"""From a photo to an enrolled row: the photos a gallery takes, and those it refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Split
from onelook.detections import Detections
from onelook.errors import GalleryError, PhotoError
from onelook.files import sha256
from onelook.gallery.data import Entry, GalleryData
from onelook.gallery.face_quality import Quality, measure_face, quality_problem
from onelook.gallery.names import check_name, photo_name
from onelook.gallery.thumbnail import thumbnail
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.predictor import Predictor
from onelook.settings import DetectSettings

# The usual bar of detection benchmarks (PASCAL VOC): under it a detection is not the labeled face.
LEAST_IOU = 0.5
# Photos looked at in one pass. Eight of a phone's take 0.3 GB; more are hardly faster.
PASS = 8


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows ready for a gallery: entries and their embeddings (n, d) float32."""

    entries: tuple[Entry, ...]
    embeddings: np.ndarray


@dataclass(frozen=True)
class Sorting:
    """What of some rows a gallery lacks, by their numbers.

    Attributes:
        fresh: rows to add.
        known: rows whose person has the photo already, or has it earlier among the rows.
        taken: rows whose photo is somebody else's, each with that person's name.
    """

    fresh: tuple[int, ...]
    known: tuple[int, ...]
    taken: tuple[tuple[int, str], ...]


def rows_of_person(looker: Predictor, detect: DetectSettings, name: str, photos: Sequence[Path]) -> Rows:
    """Look at photos that each show one person alone.

    Raises:
        GalleryError: the name cannot be used.
        PhotoError: a photo cannot be read, or does not show exactly one face, large and sharp enough.
    """
    people = [(check_name(name), photo) for photo in photos]
    rows: list[tuple[Entry, np.ndarray]] = []
    for start in range(0, len(people), PASS):
        for seen in embed_single_faces(looker, detect, people[start : start + PASS]):
            if isinstance(seen, PhotoError):
                raise PhotoError(f"{seen}; nobody was enrolled") from seen
            rows.append(seen)
    return stack_rows(rows, looker.embedding_size)


def embed_single_faces(
    looker: Predictor, detect: DetectSettings, people: Sequence[tuple[str, Path]]
) -> list[tuple[Entry, np.ndarray] | PhotoError]:
    """Look in one pass at photos that each show one person alone.

    Args:
        looker: the model.
        detect: how to look.
        people: a checked name and a photo each.

    Returns:
        For each its entry and embedding (d,) float32, or what is wrong with the photo.
    """
    images = [_read(path) for _, path in people]
    found = iter(looker.predict([image for image in images if isinstance(image, np.ndarray)], detect))
    seen: list[tuple[Entry, np.ndarray] | PhotoError] = []
    for (name, path), image in zip(people, images, strict=True):
        if isinstance(image, PhotoError):
            seen.append(image)
            continue
        faces = next(found)
        try:
            quality = _only_face(path, image, faces, detect)
        except PhotoError as error:
            seen.append(error)
        else:
            seen.append((_entry(name, path, quality, thumbnail(image, faces.boxes[0])), faces.embeddings[0]))
    return seen


def rows_of_scenes(
    looker: Predictor, detect: DetectSettings, manifest: Manifest, split: Split
) -> tuple[Rows, list[Path]]:
    """Look at the labeled enrollment photos of a split; in each, the labeled people are taken and others left out.

    The labels say who is meant, so small and blurred faces are taken too; they count little in the template.

    Returns:
        The rows, in the manifest's order, and the photos in which a labeled person's face was not found.

    Raises:
        PhotoError: a photo cannot be read.
        GalleryError: nobody's face was found.
    """
    rows: list[tuple[Entry, np.ndarray]] = []
    missed: list[Path] = []
    for scene in manifest.select(split, "enroll"):
        path = manifest.path(scene)
        image = read_image(path)
        found = looker.predict([image], detect)[0]
        for face in scene.faces:
            if face.identity is None:
                continue
            overlaps = pairwise_iou(face.box[None], found.boxes)[0]
            if len(found) == 0 or overlaps.max() < LEAST_IOU:
                missed.append(path)
                continue
            nearest = int(overlaps.argmax())
            quality = _quality(image, found, nearest, detect)
            small = thumbnail(image, found.boxes[nearest])
            rows.append((_entry(check_name(face.identity), path, quality, small), found.embeddings[nearest]))
    if not rows:
        raise GalleryError(
            f"{manifest.root}: no enrollment photo of {split} has its face found; nobody can be enrolled"
        )
    return stack_rows(rows, looker.embedding_size), missed


def sort_rows(contents: GalleryData, rows: Rows) -> Sorting:
    """Which of the rows the contents lack, by the bytes of their photos."""
    return sort_by_owner({entry.sha256: entry.person for entry in contents.entries}, rows)


def sort_by_owner(enrolled: dict[str, str], rows: Rows) -> Sorting:
    """Which of the rows are not enrolled, given whose each enrolled photo is, by the SHA-256 of its bytes."""
    owners = dict(enrolled)
    fresh: list[int] = []
    known: list[int] = []
    taken: list[tuple[int, str]] = []
    for number, entry in enumerate(rows.entries):
        owner = owners.get(entry.sha256)
        if owner is None:
            owners[entry.sha256] = entry.person
            fresh.append(number)
        elif owner == entry.person:
            known.append(number)
        else:
            taken.append((number, owner))
    return Sorting(tuple(fresh), tuple(known), tuple(taken))


def add_new(contents: GalleryData, rows: Rows) -> GalleryData:
    """The contents with those rows added whose person does not have the photo already.

    Raises:
        GalleryError: a photo is enrolled as somebody else.
    """
    sorting = sort_rows(contents, rows)
    refuse_taken(rows, sorting)
    return add_fresh(contents, rows, sorting)


def refuse_taken(rows: Rows, sorting: Sorting) -> None:
    """Refuse rows of which a photo is somebody else's.

    Raises:
        GalleryError: one is.
    """
    for number, owner in sorting.taken:
        raise GalleryError(f"{rows.entries[number].photo}: this photo is enrolled as {owner}; nobody was enrolled")


def add_fresh(contents: GalleryData, rows: Rows, sorting: Sorting) -> GalleryData:
    """The contents with the fresh rows added."""
    return contents.adding(tuple(rows.entries[i] for i in sorting.fresh), rows.embeddings[list(sorting.fresh)])


def stack_rows(rows: Sequence[tuple[Entry, np.ndarray]], size: int) -> Rows:
    """Entries with an embedding (size,) float32 each, as one."""
    embeddings = np.asarray([embedding for _, embedding in rows], np.float32).reshape(len(rows), size)
    return Rows(tuple(entry for entry, _ in rows), embeddings)


def _entry(name: str, path: Path, quality: Quality, small: str) -> Entry:
    return Entry(person=name, photo=photo_name(path), sha256=sha256(path), quality=quality, thumbnail=small)


def _read(path: Path) -> np.ndarray | PhotoError:
    try:
        return read_image(path)
    except PhotoError as error:
        return error


def _only_face(path: Path, image: np.ndarray, found: Detections, detect: DetectSettings) -> Quality:
    if len(found) == 0:
        raise PhotoError(f"{path}: no face found; use a photo with one clear face")
    if len(found) > 1:
        raise PhotoError(f"{path}: {len(found)} faces found; use a photo with one face, or crop it")
    quality = _quality(image, found, 0, detect)
    problem = quality_problem(quality)
    if problem is not None:
        raise PhotoError(f"{path}: {problem}")
    return quality


def _quality(image: np.ndarray, found: Detections, face: int, detect: DetectSettings) -> Quality:
    return measure_face(image, found.boxes[face], found.landmarks[face], found.scores[face], detect.longest_side)
