"""Decode the anchor outputs of a batch on its own device, with non-maximum suppression (NMS) in torch.

`onelook.inference.decoding` does the same image by image on the CPU. Here the number of times that the CPU waits for
the device does not depend on the number of images.
"""

from collections.abc import Callable
from math import inf, log
from typing import NamedTuple

import torch
from torch import Tensor

from onelook.device import to_device
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import decode_boxes, decode_landmarks, pairwise_iou
from onelook.inference.predictor import TOPK_CANDIDATES

# Iterations of NMS between two checks of its convergence, each of which waits for the device.
_NMS_ITERATIONS = 8


class BatchFaces(NamedTuple):
    """Faces of a batch, image by image, best score first, in pixels of the network's input.

    Attributes:
        counts: number of faces of each image.
        boxes: (n, 4; x1 y1 x2 y2) float32.
        scores: (n,).
        landmarks: (n, 5, 2).
        image_indices: (n,) int64.
        anchor_indices: (n,) int64, the anchor that each face was decoded from.
    """

    counts: list[int]
    boxes: Tensor
    scores: Tensor
    landmarks: Tensor
    image_indices: Tensor
    anchor_indices: Tensor


def postprocess_batch(outputs: AnchorOutputs, anchors: Tensor, score_thresh: float, nms_thresh: float) -> BatchFaces:
    """Filter the anchors of a batch by score, decode them and apply NMS.

    Args:
        outputs: raw outputs of the detection heads.
        anchors: (B, n, 4; center x, center y, width, height) reference boxes that the offsets are relative to.
        score_thresh: lowest face probability.
        nms_thresh: IoU above which the lower-scored of two boxes is dropped.
    """
    logits = outputs.logits.float()
    margins = logits[..., 1] - logits[..., 0]
    scores = margins.sigmoid()
    is_candidate = (margins >= _logit(score_thresh)) & (scores > score_thresh)
    limit = min(TOPK_CANDIDATES, int(is_candidate.sum(1).max()))
    scores, order = scores.masked_fill(~is_candidate, -1).sort(dim=1, descending=True, stable=True)
    scores, order = scores[:, :limit], order[:, :limit]
    boxes = decode_boxes(_gather_rows(outputs.boxes.float(), order), _gather_rows(anchors, order))
    keep, counts = nms_batch(boxes, scores >= 0, nms_thresh)
    images = torch.arange(len(boxes)).repeat_interleave(torch.tensor(counts))
    columns = torch.cat([torch.arange(count) for count in counts])
    images, columns = to_device((images, columns), boxes.device)
    # A stable sort moves the kept candidates to the front, in the order of their scores.
    rows = (~keep).int().argsort(dim=1, stable=True)[images, columns]
    kept = order[images, rows]
    landmarks = decode_landmarks(outputs.landmarks.float()[images, kept], anchors[images, kept])
    return BatchFaces(counts, boxes[images, rows], scores[images, rows], landmarks, images, kept)


def nms_batch(
    boxes: Tensor,
    is_valid: Tensor,
    iou_threshold: float,
    overlap: Callable[[Tensor, Tensor], Tensor] = pairwise_iou,
) -> tuple[Tensor, list[int]]:
    """Apply greedy NMS to each image of a batch.

    A box is kept if no kept box before it overlaps it. This rule is applied to all boxes at once until nothing changes;
    each iteration settles at least one more box in the order, so the result is that of the sequential algorithm.

    Args:
        boxes: (B, n, 4; x1 y1 x2 y2), best score first.
        is_valid: (B, n), False for boxes to drop.
        iou_threshold: IoU above which the lower-scored of two boxes is dropped.
        overlap: computes what is compared with the threshold, for all pairs of two box sets.

    Returns:
        (B, n) bool, the kept boxes, and their number in each image.
    """
    positions = torch.arange(boxes.shape[1], device=boxes.device)
    is_before = positions[:, None] < positions
    # Image by image: the intersections of all images at once would need much memory.
    suppresses = torch.stack([(overlap(each, each) > iou_threshold) & is_before for each in boxes])
    keep = previous = is_valid
    while True:
        for _ in range(_NMS_ITERATIONS):
            previous, keep = keep, is_valid & ~(suppresses & keep[:, :, None]).any(1)
        changes, *counts = torch.cat([(keep != previous).sum()[None], keep.sum(1)]).tolist()
        if changes == 0:
            return keep, counts


def _logit(probability: float) -> float:
    """Return the difference of logits at a face probability in 0..1."""
    return inf if probability >= 1 else -inf if probability <= 0 else log(probability / (1 - probability))


def _gather_rows(values: Tensor, indices: Tensor) -> Tensor:
    """Select the rows (B, k, c) of values (B, n, c) at indices (B, k)."""
    return values.gather(1, indices[..., None].expand(-1, -1, values.shape[2]))
