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

PredictImages = Callable[[Sequence[np.ndarray]], list[Detections]]
"""Detects and embeds the faces of images, RGB uint8 (H, W, 3), by one forward pass each."""

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
        predicted = predict_images([pyramid.image(octave) for pyramid, octave in todo])
        for (pyramid, octave), detections in zip(todo, predicted, strict=True):
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

    def add(self, octave: int, detections: Detections) -> None:
        """Keep the detections of an octave, and require the octaves that answer for their sizes."""
        found = scale_detections(detections, self.image(octave).shape, self._images[0].shape)
        sizes = box_sizes(found.boxes)
        wanted = set(assign_octaves(sizes, self._face_size, self._count).tolist())
        lowest = 0 if octave == 0 else 2 ** (octave - 1) * self._face_size
        highest = np.inf if octave == self._count - 1 else 2**octave * self._face_size
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
