"""Which detection finds which labelled face."""

import numpy as np

from onelook.geometry.overlap import pairwise_iou

NO_FACE = -1


def claim_faces(boxes: np.ndarray, faces: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Let each detection claim the face it overlaps most, as PASCAL VOC and WIDER FACE do.

    Args:
        boxes: (n, 4) detections, best score first.
        faces: (m, 4) labelled boxes.
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
