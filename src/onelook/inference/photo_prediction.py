"""Predict photos of any size with faces of any size, by passes of one network.

    photo ─ shrink to `longest_side` ─▶ octaves ─▶ faces ─▶ tiles of a larger photo, for small faces
      └───── turned, where its faces lie on their side ───────────┘

References:
    Octaves: image pyramid of feature detectors such as SIFT (Lowe, IJCV 2004).
    Scale ranges: each resolution answers for a range of sizes, as in SNIP (Singh and Davis, CVPR 2018).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from onelook.detections import Detections
from onelook.inference.detection_transforms import scale_detections
from onelook.inference.octaves import predict_octaves
from onelook.inference.orientation import predict_orientations
from onelook.inference.resize import PredictBatch, SizeRange, predict_by_shape, resize_to_longest_side
from onelook.inference.tiles import predict_tiles

if TYPE_CHECKING:
    from onelook.settings import DetectSettings


def predict_photos(
    images: Sequence[np.ndarray], detect: "DetectSettings", predict_batch: PredictBatch, max_pixels: int | None = None
) -> list[Detections]:
    """Detect and embed the faces of photos.

    Args:
        images: RGB uint8 (H, W, 3), of any sizes.
        detect: NMS threshold, longest side of the first pass, and largest face of an octave.
        predict_batch: the forward pass.
        max_pixels: largest B H W of a batch of more than one image; None: all images of a shape are one batch.

    Returns:
        Detections per image, best score first, in pixels of the image as given.
    """

    def predict_once(images: Sequence[np.ndarray], sizes: SizeRange) -> list[Detections]:
        return predict_by_shape(images, predict_batch, max_pixels, sizes)

    def predict_upright(images: Sequence[np.ndarray]) -> list[Detections]:
        resized = [resize_to_longest_side(image, detect.longest_side) for image in images]
        found = predict_octaves(resized, detect.face_size, detect.nms, predict_once)
        return [
            predict_tiles(image, scale_detections(faces, small.shape, image.shape), detect, predict_once)
            for image, small, faces in zip(images, resized, found, strict=True)
        ]

    return predict_orientations(images, detect.nms, predict_once, predict_upright)


def predict_single_pass(
    images: Sequence[np.ndarray], detect: "DetectSettings", predict_batch: PredictBatch, max_pixels: int | None = None
) -> list[Detections]:
    """Detect and embed the faces of photos in one pass at `longest_side`.

    Arguments and result are those of `predict_photos`.
    """
    resized = [resize_to_longest_side(image, detect.longest_side) for image in images]
    found = predict_by_shape(resized, predict_batch, max_pixels)
    return [
        scale_detections(faces, small.shape, image.shape)
        for image, small, faces in zip(images, resized, found, strict=True)
    ]
