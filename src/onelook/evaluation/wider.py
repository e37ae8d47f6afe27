"""WIDER FACE evaluation (Yang et al. 2016; `evaluation.m` of its eval_tools), without MATLAB or a C extension.

Differences from other AP protocols, on which the published numbers depend:

- Scores are min-max normalized over all photos, and pass 1,000 thresholds: 0.999, 0.998, ..., 0.
- A prediction matches the labeled box of highest IoU among all boxes of the photo. If the setting ignores that box, the
  prediction is dropped, even where it also overlaps a required box enough.
- The best-scored prediction on a required box is a true positive, further ones are false positives.
- IoU is computed on widths and heights that are one pixel larger; 0.5 is enough.
- A photo without predictions counts its faces as missed. A photo without any labeled box is skipped: its false
  positives are not counted.

The labels have MATLAB's type int32, so that the original program rounds predictions to whole pixels and overlaps to 0
or 1. The Python port in common use (https://github.com/wondervictor/WiderFace-Evaluation) does not round, and neither
does this module.
"""

from collections.abc import Sequence

import numpy as np

from onelook.evaluation.average_precision import DetectionOutcomes, PrecisionRecall, evaluate_detections
from onelook.evaluation.wider_ground_truth import SETTINGS, Setting, WiderPhoto

IOU = 0.5
THRESHOLDS = 1 - np.arange(1, 1001) / 1000


def evaluate_wider(
    photos: Sequence[WiderPhoto], boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray]
) -> dict[Setting, PrecisionRecall]:
    """Compute the official precision-recall curve of each setting.

    The `average_precision` of a curve is the official AP.

    Args:
        photos: the labels; all 3,226 photos for a number that compares with published ones.
        boxes, scores: per photo (n, 4) x1 y1 x2 y2 in its pixels and (n,) finite, in any order. Include predictions
            down to the lowest score: a detector cut off earlier has a lower AP.

    Returns:
        By setting a curve of 1,000 points, one per threshold of the normalized score; its recall and AP are NaN where
        the photos have no required face.
    """
    labeled = [_to_inclusive(photo.boxes) for photo in photos]
    predicted = [_to_inclusive(each) for each in boxes]
    normalized = normalize_scores(scores)
    for i, photo in enumerate(photos):
        if len(photo.boxes) == 0:  # skipped after normalization, in which its scores take part
            predicted[i], normalized[i] = predicted[i][:0], normalized[i][:0]
    curves: dict[Setting, PrecisionRecall] = {}
    for setting in SETTINGS:
        ignored = [~photo.required[setting] for photo in photos]
        curves[setting] = _curve_at_thresholds(evaluate_detections(predicted, normalized, labeled, IOU, ignored))
    return curves


def normalize_scores(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Min-max normalize the scores (n,) of each photo over all photos, as float64.

    Where all scores are equal, they become 1.
    """
    all_scores = np.concatenate([np.zeros(0), *scores])
    if len(all_scores) == 0 or all_scores.min() == all_scores.max():
        return [np.ones(len(each)) for each in scores]
    low, high = all_scores.min(), all_scores.max()
    return [(np.asarray(each, np.float64) - low) / (high - low) for each in scores]


def _to_inclusive(boxes: np.ndarray) -> np.ndarray:
    """Enlarge boxes (n, 4) by a pixel: official coordinates include the last pixel."""
    return np.asarray(boxes, np.float64) + np.array([0, 0, 1, 1])


def _curve_at_thresholds(outcomes: DetectionOutcomes) -> PrecisionRecall:
    """Compute the curve at THRESHOLDS; precision is 0 where no prediction passes."""
    positives = np.searchsorted(-outcomes.scores, -THRESHOLDS, side="right")
    true_positives = np.concatenate([[0], np.cumsum(outcomes.is_true_positive)])[positives]
    faces = int(outcomes.face_counts.sum())
    recall = true_positives / faces if faces else np.full(len(THRESHOLDS), np.nan)
    return PrecisionRecall(THRESHOLDS, recall, true_positives / np.maximum(positives, 1))
