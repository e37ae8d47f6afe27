"""Detection scenes: photos with labeled boxes and no identities, a scene each."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Face, Scene, Split, empty_boxes
from onelook.data.photo_copies import copy_photo, copy_suffix
from onelook.errors import DataError, PhotoError
from onelook.progress import track

LABEL_ISSUES = {
    "boxes.invalid": "boxes marked invalid: ignored, a detection there is neither right nor wrong",
    "boxes.unlabeled": "likely faces without a label: ignored, a detection there is neither right nor wrong",
    "boxes.empty": "boxes without width or height: skipped",
    "boxes.outside": "boxes outside their photo: skipped",
    "boxes.clipped": "boxes partly outside their photo: clipped",
    "points.unmatched": "faces with five landmarks without a box in the official labels: skipped",
    "photos.missing": "labeled photos without a file: skipped",
}
"""Description of each issue with labels that prepare counts, by metric name."""


@dataclass(frozen=True, eq=False)
class DetectionImage:
    """Photo file with its labels; its pixels are read later.

    Attributes:
        path: the photo's file.
        split: split of the photo.
        faces: boxes and landmarks as labeled; boxes may reach outside the photo or be empty.
        ignored: (k, 4) float32 boxes of uncertain faces: a detection there is neither right nor wrong.
        source, license: origin of the photo and its terms, for the manifest.
        size: labeled width and height in pixels; None if the labels have none.
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
    """Photos of a detection data set, and label issues counted by name."""

    photos: tuple[DetectionImage, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


def write_detection_scenes(
    folder: Path, dataset: DetectionDataset
) -> tuple[list[Scene], tuple[str, ...], dict[str, int]]:
    """Write one scene per photo into the data folder.

    See `copy_photo` for the files that are copied byte for byte.

    Returns:
        The scenes, a message for each skipped photo, and the counts of `LABEL_ISSUES`.

    Raises:
        DataError: no photo is usable.
    """
    scenes: list[Scene] = []
    skipped: list[str] = []
    counts = Counter(dataset.counts)
    for photo in track(dataset.photos, "reading labeled photos"):
        try:
            scenes.append(_write_scene(folder, photo, len(scenes), counts))
        except PhotoError as error:
            skipped.append(f"{error} (skipped)")
    if not scenes:
        raise DataError(f"{dataset.photos[0].path}: none of the labeled photos is usable; {skipped[0]}")
    return scenes, tuple(skipped), {kind: counts[kind] for kind in LABEL_ISSUES if counts[kind]}


def _write_scene(folder: Path, photo: DetectionImage, number: int, counts: Counter[str]) -> Scene:
    image = read_image(photo.path)
    height, width = image.shape[:2]
    if photo.size not in (None, (width, height)):
        raise PhotoError(f"{photo.path}: is {width}x{height}, its label has {photo.size[0]}x{photo.size[1]}")
    name = f"images/{photo.split}/scene-{number:05d}{copy_suffix(photo.path.name)}"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    copy_photo(photo.path, image, path)
    clipped = [_clip_box(face.box, width, height, counts) for face in photo.faces]
    faces = tuple(replace(face, box=box) for face, box in zip(photo.faces, clipped, strict=True) if box is not None)
    ignored = [inside for box in photo.ignored if (inside := _clip_box(box, width, height, counts)) is not None]
    boxes = np.array(ignored, np.float32).reshape(-1, 4) if ignored else empty_boxes()
    return Scene(name, width, height, photo.split, "scene", faces, photo.source, photo.license, boxes)


def _clip_box(box: np.ndarray, width: int, height: int, counts: Counter[str]) -> np.ndarray | None:
    """Clip a box (4,) to the image and count its issues; return None if it is empty."""
    if not (box[2:] > box[:2]).all():
        counts["boxes.empty"] += 1
        return None
    inside = box.clip(0, np.array([width, height, width, height], np.float32))
    if not (inside[2:] > inside[:2]).all():
        counts["boxes.outside"] += 1
        return None
    counts["boxes.clipped"] += not np.array_equal(inside, box)
    return inside
