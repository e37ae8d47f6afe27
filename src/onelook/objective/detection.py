"""RetinaFace's detection losses: is it a face, where is its box, where its points (arXiv 1905.00641, equation 1)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_boxes, encode_landmarks
from onelook.objective.matching import Matches
from onelook.together import normaliser, total


class DetectionLosses(NamedTuple):
    """Scalars: softmax over mined anchors, smooth-L1 of boxes, smooth-L1 of landmarks."""

    classification: Tensor
    box: Tensor
    landmarks: Tensor


def detection_losses(
    outputs: AnchorOutputs,
    anchors: Tensor,
    matches: Sequence[Matches],
    boxes: Sequence[Tensor],
    landmarks: Sequence[Tensor],
    negatives_per_positive: float,
) -> DetectionLosses:
    """The three losses over a batch, each divided by the positives it counts (at least 1), five points being one.

    The positives are those of all processes that train together.

    Args:
        outputs: of the heads, for B images.
        anchors: (n, 4), or (B, n, 4) where each image has its own, centre and size.
        matches: per image.
        boxes: per image (m, 4), x1 y1 x2 y2.
        landmarks: per image (m, 5, 2); points that are NaN are left out of the landmark loss.
        negatives_per_positive: hardest negatives kept per positive of the image; an image without a face keeps as many
            as if it held one.
    """
    labels = torch.stack([match.positive for match in matches])
    negatives = torch.stack([match.negative for match in matches])
    classification = _mined_softmax(outputs.logits, labels, negatives, negatives_per_positive)
    anchors = anchors.expand(len(matches), -1, -1)
    image, anchor = labels.nonzero(as_tuple=True)
    if total(len(image)) == 0:
        nothing = outputs.boxes.sum() * 0
        return DetectionLosses(classification, nothing, nothing)
    faces = [match.faces[match.positive] for match in matches]
    wanted_boxes = encode_boxes(torch.cat([b[f] for b, f in zip(boxes, faces, strict=True)]), anchors[image, anchor])
    found_boxes = outputs.boxes[image, anchor]
    box = functional.smooth_l1_loss(found_boxes, wanted_boxes, reduction="sum") / normaliser(len(image))
    points = torch.cat([p[f] for p, f in zip(landmarks, faces, strict=True)])
    present = points.isfinite().all(-1)
    wanted_points = encode_landmarks(points, anchors[image, anchor]).view_as(points)[present]
    found = outputs.landmarks[image, anchor].view_as(points)[present]
    point = functional.smooth_l1_loss(found, wanted_points, reduction="sum") / normaliser(int(present.sum()) / 5)
    return DetectionLosses(classification, box, point)


def _mined_softmax(logits: Tensor, positives: Tensor, negatives: Tensor, ratio: float) -> Tensor:
    """Cross-entropy over all positives and each image's hardest negatives (OHEM, sorted by loss), per positive."""
    losses = functional.cross_entropy(logits.flatten(0, 1), positives.long().flatten(), reduction="none")
    losses = losses.unflatten(0, positives.shape)
    with torch.no_grad():
        counts = (positives.sum(1).clip(min=1) * ratio).long()
        ranks = losses.masked_fill(~negatives, -torch.inf).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        kept = positives | (negatives & (ranks < counts[:, None]))
    return losses[kept].sum() / normaliser(int(positives.sum()))
