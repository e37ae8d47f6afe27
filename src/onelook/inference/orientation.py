"""Photos that lie on their side: find out from the five landmarks, look at the turned photo, merge the faces.

A detector finds sideways faces of about 100 pixels, but their embeddings are not those of the person upright: of the
landmarks, the network aligns only its sampling, not the features that it samples.
"""

from collections.abc import Callable, Sequence

import numpy as np

from onelook.detections import Detections, concatenate
from onelook.geometry.alignment import REFERENCE_LANDMARKS, similarity_transform
from onelook.inference.detection_transforms import rotate_detections
from onelook.inference.nms import nms
from onelook.inference.octaves import PredictImages
from onelook.inference.resize import resize_to_longest_side

# Lowest score of a face whose landmarks turn the photo: less certain detections have arbitrary landmarks.
_CERTAIN_SCORE = 0.8
# Longest side of the turned copies of an image without certain faces, in pixels; at most half of the image's.
_PREVIEW_SIDE = 640
_NO_SIZES = (0.0, 0.0)  # faces of the copies are not embedded


def predict_orientations(
    images: Sequence[np.ndarray],
    nms_thresh: float,
    predict_once: PredictImages,
    predict_upright: Callable[[Sequence[np.ndarray]], list[Detections]],
) -> list[Detections]:
    """Predict images, and turned copies of those whose faces lie on their side.

    - Where the landmarks of certain faces are turned by about a quarter or half turn, the image is turned back so.
    - Where no face is certain, small copies are predicted on either side. One with a certain upright face is predicted
      whole.

    Each copy answers for the faces that are upright in it. Other faces stay where none of these overlaps them.

    Args:
        images: RGB uint8 (H, W, 3).
        nms_thresh: IoU above which the lower-scored of two boxes is dropped.
        predict_once: predicts small images in one pass each.
        predict_upright: predicts images of any sizes.

    Returns:
        Detections per image, best score first, in pixels of the image.
    """
    found = predict_upright(images)
    certain = [_certain_turns(detections) for detections in found]
    turns = [sorted(each - {0}) for each in certain]
    uncertain = [(index, turn) for index, each in enumerate(certain) if not each for turn in (1, 3)]
    previews = predict_once([_make_preview(images[index], turn) for index, turn in uncertain], _NO_SIZES)
    for (index, turn), preview in zip(uncertain, previews, strict=True):
        if 0 in _certain_turns(preview):
            turns[index].append(turn)
    views = [(index, turn) for index, each in enumerate(turns) for turn in each]
    turned = predict_upright([np.ascontiguousarray(np.rot90(images[index], turn)) for index, turn in views])
    by_image: dict[int, list[Detections]] = {}
    for (index, turn), detections in zip(views, turned, strict=True):
        height, width = images[index].shape[:2]
        shape = (width, height) if turn % 2 else (height, width)
        upright = detections.take(quarter_turns(detections.landmarks) == 0)
        by_image.setdefault(index, []).append(rotate_detections(upright, -turn, shape))
    return [
        _merge_views(detections, by_image[index], nms_thresh) if index in by_image else detections
        for index, detections in enumerate(found)
    ]


def quarter_turns(landmarks: np.ndarray) -> np.ndarray:
    """Return how far to turn an image so that its faces are upright.

    Args:
        landmarks: (n, 5, 2) in pixels.

    Returns:
        (n,) int64 in 0..3, counterclockwise quarter turns, as `numpy.rot90` counts them.
    """
    transforms = similarity_transform(REFERENCE_LANDMARKS.astype(np.float64), landmarks.astype(np.float64))
    angles = np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0])  # clockwise, as y points down
    turns: np.ndarray = np.round(angles / (np.pi / 2)).astype(np.int64) % 4
    return turns


def _make_preview(image: np.ndarray, turn: int) -> np.ndarray:
    """Return a turned copy of an image (H, W, 3), shrunk to half its size or less."""
    side = min(_PREVIEW_SIDE, max(1, max(image.shape[:2]) // 2))
    return np.ascontiguousarray(np.rot90(resize_to_longest_side(image, side), turn))


def _certain_turns(detections: Detections) -> set[int]:
    """Return the quarter turns that make certain faces upright."""
    return set(quarter_turns(detections.above(_CERTAIN_SCORE).landmarks).tolist())


def _merge_views(found: Detections, views: list[Detections], nms_thresh: float) -> Detections:
    """Apply NMS to the faces of an image and of its turned copies, which upright faces survive first."""
    is_upright = quarter_turns(found.landmarks) == 0
    merged = concatenate([found.take(is_upright), *views, found.take(~is_upright)])
    # Scores are at most 1, so every upright face comes before the others.
    priority = merged.scores + (np.arange(len(merged)) < len(merged) - (~is_upright).sum())
    kept = nms(merged.boxes, priority, nms_thresh)
    return merged.take(kept[np.argsort(-merged.scores[kept], kind="stable")])
