"""Average precision (AP) of face detection, as in PASCAL VOC 2010: matching by IoU, precision envelope, all points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.geometry.boxes import pairwise_iou

NO_MATCH = -1


def match_detections(boxes: np.ndarray, faces: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Match each detection to the labeled face with the highest IoU.

    As in PASCAL VOC and WIDER FACE, a detection never falls back to its second-best face.

    Args:
        boxes: (n, 4) detections, best score first.
        faces: (m, 4) labeled boxes.
        iou: lowest IoU of a match.

    Returns:
        matches: (n,) int64, row of `faces`, or NO_MATCH.
        is_first: (n,) bool, the detection has the best score among those matched to its face; others are duplicates.
    """
    matches = np.full(len(boxes), NO_MATCH, np.int64)
    is_first = np.zeros(len(boxes), bool)
    if len(boxes) and len(faces):
        overlaps = pairwise_iou(boxes, faces)
        best = overlaps.argmax(1)
        is_match = overlaps[np.arange(len(boxes)), best] >= iou
        matches[is_match] = best[is_match]
        is_first[np.unique(matches, return_index=True)[1]] = True
    return matches, is_first & (matches != NO_MATCH)


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """A precision-recall curve with one point per distinct score, highest score first.

    Attributes:
        scores, recall, precision: (k,) float64; recall does not decrease.
    """

    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray

    @property
    def average_precision(self) -> float:
        """Return the area under the precision envelope over all points (PASCAL VOC 2010, section 4.2)."""
        # The envelope is the best precision at the same or a higher recall.
        envelope = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * envelope))


@dataclass(frozen=True, eq=False)
class DetectionOutcomes:
    """True and false positives of the detections in a set of images.

    Attributes:
        scores: (n,) float64, best first; detections matched to ignored faces are left out.
        is_true_positive: (n,) bool; False for false positives and duplicates.
        images: (n,) int64, image of each detection.
        face_counts: (images,) int64, number of faces to detect in each image.
    """

    scores: np.ndarray
    is_true_positive: np.ndarray
    images: np.ndarray
    face_counts: np.ndarray

    def curve(self, weights: np.ndarray | None = None) -> PrecisionRecall:
        """Compute the precision-recall curve with image weights (images,), 1 by default."""
        weights = np.ones(len(self.face_counts)) if weights is None else weights
        detection_weights = weights[self.images]
        true_positives = np.cumsum(detection_weights * self.is_true_positive)
        positives = np.cumsum(detection_weights)
        # Equal scores pass a threshold together, so only the last of them is a point of the curve.
        is_last = np.append(self.scores[1:] != self.scores[:-1], True)[: len(self.scores)] & (positives > 0)
        faces = max(float(weights @ self.face_counts), 1e-12)
        return PrecisionRecall(
            self.scores[is_last], true_positives[is_last] / faces, true_positives[is_last] / positives[is_last]
        )

    def average_precision(self, weights: np.ndarray | None = None) -> float:
        """Compute AP with image weights (images,), 1 by default; NaN without faces."""
        weights = np.ones(len(self.face_counts)) if weights is None else weights
        return self.curve(weights).average_precision if weights @ self.face_counts > 0 else float("nan")


def evaluate_detections(
    boxes: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    faces: Sequence[np.ndarray],
    iou: float,
    ignored: Sequence[np.ndarray] | None = None,
) -> DetectionOutcomes:
    """Classify the detections of each image as true or false positives.

    - A detection matches the face of highest IoU, including ignored faces (see `match_detections`).
    - A detection matched to an ignored face is dropped.
    - The best-scored detection of any other face is a true positive; all remaining ones are false positives.

    Args:
        boxes, scores: per image (n, 4) and (n,), in any order.
        faces: per image (m, 4) labeled boxes.
        iou: lowest IoU of a match.
        ignored: per image (m,) bool, faces that count neither as missed nor as detected; none by default.
    """
    outcomes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    face_counts = []
    for image in range(len(faces)):
        is_ignored = np.zeros(len(faces[image]), bool) if ignored is None else np.asarray(ignored[image], bool)
        order = np.argsort(-scores[image], kind="stable")
        matches, is_first = match_detections(boxes[image][order], faces[image], iou)
        is_counted = (matches == NO_MATCH) | ~np.append(is_ignored, False)[matches]  # NO_MATCH indexes the appended one
        outcomes.append((scores[image][order][is_counted], is_first[is_counted], np.full(is_counted.sum(), image)))
        face_counts.append(np.count_nonzero(~is_ignored))
    empty = (np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))
    all_scores, is_true_positive, images = (np.concatenate(parts) for parts in zip(empty, *outcomes, strict=True))
    order = np.argsort(-all_scores, kind="stable")
    return DetectionOutcomes(
        all_scores[order].astype(np.float64),
        is_true_positive[order],
        images[order].astype(np.int64),
        np.asarray(face_counts, np.int64),
    )
