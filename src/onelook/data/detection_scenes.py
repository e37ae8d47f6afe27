"""Photos with boxes by a data set's labels, in which nobody has a name: each becomes a scene to find faces in."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from onelook.data.image_io import encode_image, read_image
from onelook.data.manifest import Face, Scene, Split, empty_boxes
from onelook.errors import DataError, PhotoError
from onelook.progress import track

KINDS = {
    "boxes.invalid": "boxes marked invalid: ignored, so that finding them is neither right nor wrong",
    "boxes.unlabeled": "likely faces without a label: ignored, so that finding them is neither right nor wrong",
    "boxes.empty": "boxes without width or height: left out",
    "boxes.outside": "boxes that lie outside their photo: left out",
    "boxes.clipped": "boxes that reach over their photo's edge: cut there",
    "points.unmatched": "faces with five points whose box the official labels lack: left out",
    "photos.missing": "labeled photos that are not there: left out",
}
"""What is told of labels that were not taken as they stand."""

# What training and evaluation read just as `read_image` does, so that the file itself can be the scene's image.
_KEPT = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, eq=False)
class DetectionImage:
    """A photo with its labels, not read yet.

    Attributes:
        path: the file it is in.
        split: which split it belongs to.
        faces: boxes and points as labeled; they may reach outside the photo or be empty.
        ignored: (k, 4) float32 boxes that neither have to be found nor may not be.
        source, license: where it comes from and its terms, for the manifest.
        size: width and height by the labels, in pixels; None where they do not say.
    """

    path: Path
    split: Split
    faces: tuple[Face, ...]
    ignored: np.ndarray
    source: str
    license: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class DetectionDataset:
    """A data set as read: its photos, and how often the labels held what `KINDS` names."""

    photos: tuple[DetectionImage, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


def write_detection_scenes(
    folder: Path, reading: DetectionDataset
) -> tuple[list[Scene], tuple[str, ...], dict[str, int]]:
    """Write a scene per photo into the data folder; the bytes of a JPEG or PNG file are kept as they are.

    Returns:
        The scenes, a line for each photo left out, and the counts of `KINDS`.

    Raises:
        DataError: no photo could be used.
    """
    scenes: list[Scene] = []
    left_out: list[str] = []
    counts = Counter(reading.counts)
    for photo in track(reading.photos, "reading labeled photos"):
        try:
            scenes.append(_write_scene(folder, photo, len(scenes), counts))
        except PhotoError as error:
            left_out.append(f"{error} (left out)")
    if not scenes:
        raise DataError(f"{reading.photos[0].path}: none of the labeled photos can be used; {left_out[0]}")
    return scenes, tuple(left_out), {kind: counts[kind] for kind in KINDS if counts[kind]}


def _write_scene(folder: Path, photo: DetectionImage, number: int, counts: Counter[str]) -> Scene:
    image = read_image(photo.path)
    height, width = image.shape[:2]
    if photo.size not in (None, (width, height)):
        raise PhotoError(f"{photo.path}: is {width}x{height}, its label says {photo.size[0]}x{photo.size[1]}")
    suffix = photo.path.suffix.lower()
    name = f"images/{photo.split}/scene-{number:05d}{suffix if suffix in _KEPT else '.jpg'}"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix in _KEPT:
        shutil.copyfile(photo.path, path)
    else:
        path.write_bytes(encode_image(image, ".jpg"))
    inside = [_clip(face.box, width, height, counts) for face in photo.faces]
    faces = tuple(replace(face, box=box) for face, box in zip(photo.faces, inside, strict=True) if box is not None)
    ignored = [box for each in photo.ignored if (box := _clip(each, width, height, counts)) is not None]
    boxes = np.array(ignored, np.float32).reshape(-1, 4) if ignored else empty_boxes()
    return Scene(name, width, height, photo.split, "scene", faces, photo.source, photo.license, boxes)


def _clip(box: np.ndarray, width: int, height: int, counts: Counter[str]) -> np.ndarray | None:
    """A box (4,) cut at the photo's edge, or None where nothing of it is left; what was done is counted."""
    if not (box[2:] > box[:2]).all():
        counts["boxes.empty"] += 1
        return None
    inside = box.clip(0, np.array([width, height, width, height], np.float32))
    if not (inside[2:] > inside[:2]).all():
        counts["boxes.outside"] += 1
        return None
    counts["boxes.clipped"] += not np.array_equal(inside, box)
    return inside
