"""Regions of RefineFace's feature supervision, and the loss of their classifier."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from onelook.distributed import loss_divisor
from onelook.geometry.anchors import AnchorOutputs, anchors_to_boxes
from onelook.geometry.boxes import box_areas
from onelook.losses.detection import Matches


class Regions(NamedTuple):
    """Regions of a batch to classify.

    Attributes:
        boxes: (B, k, 4) x1 y1 x2 y2.
        is_face: (B, k) bool.
        valid: (B, k) bool, False in the padding.
    """

    boxes: Tensor
    is_face: Tensor
    valid: Tensor


def select_regions(outputs: AnchorOutputs, anchors: Tensor, matches: Matches, boxes: Tensor) -> Regions:
    """Select all faces, and as many background anchors of each image: those with the highest face scores.

    Args:
        outputs: of the detection heads.
        anchors: (B, n, 4) center and size.
        matches: of the anchors.
        boxes: (B, M, 4) x1 y1 x2 y2, the faces; empty boxes are padding.
    """
    margins = (outputs.logits[..., 1] - outputs.logits[..., 0]).detach()
    scores, rows = margins.masked_fill(~matches.negative, -torch.inf).topk(min(boxes.shape[1], margins.shape[1]))
    background = anchors_to_boxes(anchors).gather(1, rows[..., None].expand(-1, -1, 4))
    return Regions(
        torch.cat([boxes, background], 1),
        torch.cat([torch.ones_like(boxes[..., 0], dtype=torch.bool), torch.zeros_like(rows, dtype=torch.bool)], 1),
        torch.cat([box_areas(boxes) > 0, scores > -torch.inf], 1),
    )


def feature_supervision_loss(logits: Tensor, regions: Regions) -> Tensor:
    """Compute the mean binary cross-entropy of the logits (B, k) of regions; 0 without a region."""
    losses = functional.binary_cross_entropy_with_logits(logits, regions.is_face.to(logits.dtype), reduction="none")
    return losses.where(regions.valid, 0).sum() / loss_divisor(regions.valid.sum())
