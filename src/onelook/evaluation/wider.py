"""WIDER FACE's official evaluation (Yang et al. 2016; `evaluation.m` of its eval_tools), without MATLAB or a C build.

What the published figures depend on, and other AP does not do:

- Scores are min-max normalized over all photos, and pass 1,000 thresholds: 0.999, 0.998, ..., 0.
- A prediction claims the labeled box it overlaps most, among all boxes of the photo. If the setting ignores that box,
  the prediction is dropped, even where it also overlaps a wanted one enough.
- The best-scored prediction on a wanted box is a hit, further ones are false alarms.
- Overlap is counted on widths and heights that are one pixel larger; 0.5 is enough.
- A photo without predictions counts its faces as missed. One without any labeled box is passed over: its false alarms
  are not counted.

The labels are of MATLAB's type int32, by whose rules the original program rounds predictions to whole pixels and
overlaps to 0 or 1. The Python port in common use (https://github.com/wondervictor/WiderFace-Evaluation) does not round,
and neither is it done here.
"""

from collections.abc import Sequence

import numpy as np

from onelook.evaluation.average_precision import DetectionOutcomes, PrecisionRecall, judge_detections
from onelook.evaluation.wider_ground_truth import SETTINGS, Setting, WiderPhoto

IOU = 0.5
THRESHOLDS = 1 - np.arange(1, 1001) / 1000


def evaluate_wider(
    photos: Sequence[WiderPhoto], boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray]
) -> dict[Setting, PrecisionRecall]:
    """The official curve of each setting; its `average_precision` is the official AP.

    Args:
        photos: the labels, of all 3,226 photos for a figure that compares with published ones.
        boxes, scores: per photo (n, 4) x1 y1 x2 y2 in its pixels and (n,) finite, in any order. Give every prediction
            there is, down to the lowest score: a detector cut off earlier has a lower AP.

    Returns:
        By setting a curve of 1,000 points, one per threshold of the normalized score; its recall and AP are NaN where
        the photos have no face to find.
    """
    labeled = [_one_pixel_larger(photo.boxes) for photo in photos]
    found = [_one_pixel_larger(each) for each in boxes]
    normalized = normalize_scores(scores)
    for i, photo in enumerate(photos):
        if len(photo.boxes) == 0:  # passed over, but its scores are among the normalized ones
            found[i], normalized[i] = found[i][:0], normalized[i][:0]
    curves: dict[Setting, PrecisionRecall] = {}
    for setting in SETTINGS:
        ignored = [~photo.wanted[setting] for photo in photos]
        curves[setting] = _official_curve(judge_detections(found, normalized, labeled, IOU, ignored))
    return curves


def normalize_scores(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores (n,) of each photo, moved and stretched to reach from 0 to 1 over all photos, float64.

    Where all are equal, all are 1: they pass every threshold, together.
    """
    everything = np.concatenate([np.zeros(0), *scores])
    if len(everything) == 0 or everything.min() == everything.max():
        return [np.ones(len(each)) for each in scores]
    low, high = everything.min(), everything.max()
    return [(np.asarray(each, np.float64) - low) / (high - low) for each in scores]


def _one_pixel_larger(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) float64 whose common IoU is the official one, which counts the last row and column as inside."""
    return np.asarray(boxes, np.float64) + np.array([0, 0, 1, 1])


def _official_curve(outcomes: DetectionOutcomes) -> PrecisionRecall:
    """The curve at `THRESHOLDS`; precision is 0 where nothing passes, which is left of every recall above 0."""
    shown = np.searchsorted(-outcomes.scores, -THRESHOLDS, side="right")
    hits = np.concatenate([[0], np.cumsum(outcomes.hits)])[shown]
    faces = int(outcomes.faces.sum())
    recall = hits / faces if faces else np.full(len(THRESHOLDS), np.nan)
    return PrecisionRecall(THRESHOLDS, recall, hits / np.maximum(shown, 1))
