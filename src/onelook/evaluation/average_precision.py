"""Average precision of detection over a set of photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.geometry.boxes import pairwise_iou

NO_FACE = -1


def match_detections(boxes: np.ndarray, faces: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Let each detection claim the face it overlaps most, as PASCAL VOC and WIDER FACE do.

    Args:
        boxes: (n, 4) detections, best score first.
        faces: (m, 4) labeled boxes.
        iou: lowest intersection over union of a claim.

    Returns:
        claimed: (n,) int64, the row of `faces`, or NO_FACE where no overlap is large enough.
        first: (n,) bool, the claim is the best-scored one on its face; a later one is a duplicate.
    """
    claimed = np.full(len(boxes), NO_FACE, np.int64)
    first = np.zeros(len(boxes), bool)
    if len(boxes) and len(faces):
        overlaps = pairwise_iou(boxes, faces)
        best = overlaps.argmax(1)
        enough = overlaps[np.arange(len(boxes)), best] >= iou
        claimed[enough] = best[enough]
        first[np.unique(claimed, return_index=True)[1]] = True
    return claimed, first & (claimed != NO_FACE)


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """A precision-recall curve, one point per distinct score taken as the threshold, highest score first.

    Attributes:
        scores, recall, precision: (k,) float64; recall does not decrease.
    """

    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray

    @property
    def average_precision(self) -> float:
        """Area under the precision envelope over all points (PASCAL VOC 2010, section 4.2)."""
        # The envelope: at each recall the best precision at this recall or a higher one.
        envelope = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * envelope))


@dataclass(frozen=True, eq=False)
class DetectionOutcomes:
    """What became of every detection of a set of photos.

    Attributes:
        scores: (n,) float64, best first; detections on ignored faces are left out.
        hits: (n,) bool, the detection found a face; False for false alarms and duplicates.
        photos: (n,) int64, the photo of each detection.
        faces: (photos,) int64, how many faces each photo has to find.
    """

    scores: np.ndarray
    hits: np.ndarray
    photos: np.ndarray
    faces: np.ndarray

    def curve(self, weights: np.ndarray | None = None) -> PrecisionRecall:
        """The curve with each photo counted `weights` (photos,) times, once each by default."""
        weights = np.ones(len(self.faces)) if weights is None else weights
        counted = weights[self.photos]
        hits = np.cumsum(counted * self.hits)
        shown = np.cumsum(counted)
        # Equal scores pass a threshold together: only the last of them is a point of the curve.
        last = np.append(self.scores[1:] != self.scores[:-1], True)[: len(self.scores)] & (shown > 0)
        faces = max(float(weights @ self.faces), 1e-12)
        return PrecisionRecall(self.scores[last], hits[last] / faces, hits[last] / shown[last])

    def average_precision(self, weights: np.ndarray | None = None) -> float:
        """Average precision with each photo counted `weights` times; NaN where there is no face to find."""
        weights = np.ones(len(self.faces)) if weights is None else weights
        return self.curve(weights).average_precision if weights @ self.faces > 0 else float("nan")


def judge_detections(
    boxes: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    faces: Sequence[np.ndarray],
    iou: float,
    ignored: Sequence[np.ndarray] | None = None,
) -> DetectionOutcomes:
    """Judge the detections of each photo against its labeled faces.

    A detection claims the face it overlaps most (see `match_detections`), ignored ones among them; on an ignored face it is
    dropped, the best-scored one on another face is a hit, any other is a false alarm. A photo without detections
    counts its faces as missed.

    Args:
        boxes, scores: per photo (n, 4) and (n,), in any order.
        faces: per photo (m, 4).
        iou: lowest overlap of a detection with its face.
        ignored: per photo (m,) bool, faces that neither have to be found nor may not be; none by default.
    """
    judged: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    wanted = []
    for photo in range(len(faces)):
        ignore = np.zeros(len(faces[photo]), bool) if ignored is None else np.asarray(ignored[photo], bool)
        order = np.argsort(-scores[photo], kind="stable")
        claimed, first = match_detections(boxes[photo][order], faces[photo], iou)
        counted = (claimed == NO_FACE) | ~np.append(ignore, False)[claimed]  # NO_FACE is the last one
        judged.append((scores[photo][order][counted], first[counted], np.full(counted.sum(), photo)))
        wanted.append(np.count_nonzero(~ignore))
    empty = (np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))
    all_scores, hits, photos = (np.concatenate(parts) for parts in zip(empty, *judged, strict=True))
    order = np.argsort(-all_scores, kind="stable")
    return DetectionOutcomes(
        all_scores[order].astype(np.float64), hits[order], photos[order].astype(np.int64), np.asarray(wanted, np.int64)
    )
