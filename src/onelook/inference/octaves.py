"""Octaves of an image pyramid: each face is detected and embedded where it has the size that the head is trained for.

An octave halves the image. Octave k answers for the faces of `face_size` / 2 to `face_size` pixels of its own image,
octave 0 also for smaller ones, the coarsest also for larger ones. The same network passes over every octave, and one
NMS merges their faces. On a single scale, the embeddings of large faces of different people resemble each other: at 429
pixels, .18 of the strangers pass the threshold of which .01 pass at 110 pixels; with octaves .01
(`benchmarks/face_sizes.py`).
"""

from collections.abc import Callable, Sequence
from math import ceil, log2

import cv2
import numpy as np

from onelook.detections import Detections, concatenate
from onelook.geometry.boxes import box_sizes
from onelook.inference.detection_transforms import scale_detections
from onelook.inference.nms import nms
from onelook.inference.resize import SizeRange

PredictImages = Callable[[Sequence[np.ndarray], SizeRange], list[Detections]]
"""Detects the faces of images, RGB uint8 (H, W, 3), by one forward pass each, and embeds those of a range of sizes."""

LARGEST_ANCHOR = 512
"""Side of the detector's largest anchor, in pixels: a larger face may be found only in a coarser octave."""
# The box of one face differs a little between two octaves: each takes faces a quarter of an octave beyond its range.
_TOLERANCE = 2**0.25
# A face that fills an image is that much smaller than its longest side, so a further octave is of no use below it.
_FILLED = 1.25


def predict_octaves(
    images: Sequence[np.ndarray], face_size: float, nms_thresh: float, predict_images: PredictImages
) -> list[Detections]:
    """Detect and embed the faces of images at the octaves that answer for their sizes.

    Octave 0 is always predicted, and the coarsest one where a face larger than `LARGEST_ANCHOR` has room. Any other
    octave is predicted where one of these has found a face of its sizes.

    Args:
        images: RGB uint8 (H, W, 3).
        face_size: size of the largest face that an octave answers for, in pixels of the octave.
        nms_thresh: IoU above which the lower-scored of two boxes is dropped.
        predict_images: predicts images of any sizes.

    Returns:
        Detections per image, best score first, in pixels of the image.
    """
    pyramids = [_Pyramid(image, face_size) for image in images]
    while todo := [(pyramid, octave) for pyramid in pyramids for octave in sorted(pyramid.required)]:
        by_range: dict[SizeRange, list[tuple[_Pyramid, int]]] = {}
        for pyramid, octave in todo:
            by_range.setdefault(pyramid.embedded_sizes(octave), []).append((pyramid, octave))
        for sizes, some in by_range.items():
            predicted = predict_images([pyramid.image(octave) for pyramid, octave in some], sizes)
            for (pyramid, octave), detections in zip(some, predicted, strict=True):
                pyramid.add(octave, detections)
    return [pyramid.merge(nms_thresh) for pyramid in pyramids]


def count_octaves(height: int, width: int, face_size: float) -> int:
    """Return the number of octaves of an image, at least 1."""
    return 1 + max(0, ceil(log2(max(height, width) / (_FILLED * face_size))))


def assign_octaves(sizes: np.ndarray, face_size: float, count: int) -> np.ndarray:
    """Return the octave (n,) int64, of `count`, that answers for faces of sizes (n,) in pixels of octave 0."""
    octaves: np.ndarray = np.ceil(np.log2(np.maximum(sizes, 1) / face_size)).astype(np.int64).clip(0, count - 1)
    return octaves


def halve_image(image: np.ndarray) -> np.ndarray:
    """Scale an image (H, W, 3) to half its size by area averaging."""
    height, width = image.shape[:2]
    return cv2.resize(image, (max(1, round(width / 2)), max(1, round(height / 2))), interpolation=cv2.INTER_AREA)


class _Pyramid:
    """The octaves of one image and the faces found in them.

    Attributes:
        required: octaves to predict next.
    """

    def __init__(self, image: np.ndarray, face_size: float) -> None:
        height, width = image.shape[:2]
        self._images = [image]
        self._face_size = face_size
        self._count = count_octaves(height, width, face_size)
        self._found: dict[int, Detections] = {}
        self._fits: dict[int, np.ndarray] = {}
        self.required = {0, self._count - 1} if min(height, width) > LARGEST_ANCHOR else {0}

    def image(self, octave: int) -> np.ndarray:
        """Return the image of an octave."""
        while len(self._images) <= octave:
            self._images.append(halve_image(self._images[-1]))
        return self._images[octave]

    def embedded_sizes(self, octave: int) -> SizeRange:
        """Return the sizes of the faces to embed in an octave, in its pixels."""
        lowest, highest = self._range(octave)
        return lowest / _TOLERANCE**2, highest * _TOLERANCE**2  # squared, as sizes are rounded in other units

    def _range(self, octave: int) -> SizeRange:
        """Return the sizes that an octave answers for, in its pixels."""
        lowest = 0.0 if octave == 0 else self._face_size / 2
        return lowest, np.inf if octave == self._count - 1 else self._face_size

    def add(self, octave: int, detections: Detections) -> None:
        """Keep the detections of an octave, and require the octaves that answer for their sizes."""
        found = scale_detections(detections, self.image(octave).shape, self._images[0].shape)
        sizes = box_sizes(found.boxes)
        wanted = set(assign_octaves(sizes, self._face_size, self._count).tolist())
        lowest, highest = (2**octave * size for size in self._range(octave))
        is_taken = (sizes > lowest / _TOLERANCE) & (sizes <= highest * _TOLERANCE)
        self._found[octave] = found.take(is_taken)
        self._fits[octave] = ((sizes > lowest) & (sizes <= highest))[is_taken]
        self.required = (self.required | wanted) - self._found.keys()

    def merge(self, nms_thresh: float) -> Detections:
        """Apply NMS to the faces of all octaves, which those inside the range of their octave survive first."""
        if len(self._found) == 1:
            return self._found[0]
        merged = concatenate(list(self._found.values()))
        # Scores are at most 1.
        kept = nms(merged.boxes, merged.scores + np.concatenate(list(self._fits.values())), nms_thresh)
        return merged.take(kept[np.argsort(-merged.scores[kept], kind="stable")])
