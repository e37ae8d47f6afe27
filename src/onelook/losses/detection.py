"""RetinaFace's detection losses (Deng et al., arXiv 1905.00641, equation 1).

In order: anchor matching, classification with online hard example mining (OHEM), box and landmark regression, and the
sum over the stages of a cascade.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from onelook.distributed import all_reduce_count, loss_divisor
from onelook.geometry.anchors import AnchorOutputs, anchors_to_boxes
from onelook.geometry.boxes import (
    box_areas,
    decode_landmarks,
    encode_boxes,
    encode_landmarks,
    pairwise_intersection,
    pairwise_iou,
)
from onelook.losses.distillation import lwf_loss
from onelook.settings import MatchThresholds

BACKGROUND = -1
IGNORED = -2

# An anchor is ignored from this fraction of its area inside an ignored box, whatever their sizes (as COCO's crowds).
_MIN_IGNORED_FRACTION = 0.5


class Matches(NamedTuple):
    """The match of every anchor of an image.

    faces: (n,) int64, the index of the anchor's face, `BACKGROUND` or `IGNORED`.
    """

    faces: Tensor

    @property
    def positive(self) -> Tensor:
        """Return the mask (n,) of the anchors matched to a face."""
        return self.faces >= 0

    @property
    def negative(self) -> Tensor:
        """Return the mask (n,) of the background anchors."""
        return self.faces == BACKGROUND


def match_anchors(
    anchors: Tensor, boxes: Tensor, thresholds: MatchThresholds, ignored: Tensor | None = None
) -> Matches:
    """Match the anchors of an image to its faces by IoU.

    - An anchor is matched to the face of its highest IoU, from `positive` up.
    - It is background below `negative`, and ignored in between.
    - Every face is also matched to its best anchor, where one overlaps it (SSD, Liu et al. 2016, section 2.2). Of two
      faces with the same best anchor, the later one is matched.
    - Background is ignored where half the anchor lies inside an ignored box, or its IoU with one reaches `negative`.

    Args:
        anchors: (n, 4) x1 y1 x2 y2.
        boxes: (m, 4) x1 y1 x2 y2, the faces.
        thresholds: `positive` and `negative` IoU.
        ignored: (k, 4) x1 y1 x2 y2, regions that may be faces or not.
    """
    faces = _match_by_iou(anchors, boxes, thresholds)
    if ignored is not None and len(ignored):
        overlapping = (pairwise_iou(anchors, ignored) >= thresholds.negative).any(1)
        inside = pairwise_intersection(anchors, ignored) >= _MIN_IGNORED_FRACTION * box_areas(anchors)[:, None]
        faces[(faces == BACKGROUND) & (overlapping | inside.any(1))] = IGNORED
    return Matches(faces)


def _match_by_iou(anchors: Tensor, boxes: Tensor, thresholds: MatchThresholds) -> Tensor:
    if len(boxes) == 0:
        return torch.full((len(anchors),), BACKGROUND, dtype=torch.int64)
    iou = pairwise_iou(anchors, boxes)
    best_iou, faces = iou.max(dim=1)
    faces[best_iou < thresholds.positive] = IGNORED
    faces[best_iou < thresholds.negative] = BACKGROUND
    face_best_iou, face_best_anchor = iou.max(dim=0)
    for face in (face_best_iou > 0).nonzero()[:, 0].tolist():
        faces[face_best_anchor[face]] = face
    return faces


class DetectionLosses(NamedTuple):
    """Scalars: cross-entropy of the mined anchors, smooth-L1 of boxes and of landmarks."""

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
    """Compute the classification, box and landmark losses of a batch.

    Each is divided by the number of positive anchors of the whole batch, at least 1. The landmark loss is divided by
    the number of labeled points, five of which count as one anchor.

    Args:
        outputs: of the heads, for B images.
        anchors: (n, 4) center and size, or (B, n, 4) where each image has its own.
        matches: per image.
        boxes: per image (m, 4), x1 y1 x2 y2.
        landmarks: per image (m, 5, 2); NaN points are left out of the landmark loss.
        negatives_per_positive: hardest negatives per positive of the image (OHEM).
    """
    positives = torch.stack([match.positive for match in matches])
    negatives = torch.stack([match.negative for match in matches])
    classification = ohem_cross_entropy(outputs.logits, positives, negatives, negatives_per_positive)
    anchors = anchors.expand(len(matches), -1, -1)
    images, rows = positives.nonzero(as_tuple=True)
    if all_reduce_count(len(images)) == 0:
        zero = outputs.boxes.sum() * 0
        return DetectionLosses(classification, zero, zero)
    faces = [match.faces[match.positive] for match in matches]

    matched_boxes = torch.cat([own[index] for own, index in zip(boxes, faces, strict=True)])
    box_targets = encode_boxes(matched_boxes, anchors[images, rows])
    box_offsets = outputs.boxes[images, rows]
    box = functional.smooth_l1_loss(box_offsets, box_targets, reduction="sum") / loss_divisor(len(images))

    points = torch.cat([own[index] for own, index in zip(landmarks, faces, strict=True)])
    labeled = points.isfinite().all(-1)
    point_targets = encode_landmarks(points, anchors[images, rows]).view_as(points)[labeled]
    point_offsets = outputs.landmarks[images, rows].view_as(points)[labeled]
    point_sum = functional.smooth_l1_loss(point_offsets, point_targets, reduction="sum")
    return DetectionLosses(classification, box, point_sum / loss_divisor(int(labeled.sum()) / 5))


def ohem_cross_entropy(logits: Tensor, positives: Tensor, negatives: Tensor, negatives_per_positive: float) -> Tensor:
    """Compute the cross-entropy of the positives and the hardest negatives (OHEM).

    Negatives are mined per image, sorted by their loss. An image without a face has as many as one with one positive.

    Args:
        logits: (B, n, 2), background and face.
        positives, negatives: (B, n) bool.
        negatives_per_positive: mined negatives per positive.

    Returns:
        A scalar: the sum divided by the positives of the whole batch, at least 1.
    """
    losses = functional.cross_entropy(logits.flatten(0, 1), positives.long().flatten(), reduction="none")
    losses = losses.unflatten(0, positives.shape)
    with torch.no_grad():
        counts = (positives.sum(1).clip(min=1) * negatives_per_positive).long()
        ranks = losses.masked_fill(~negatives, -torch.inf).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        mined = positives | (negatives & (ranks < counts[:, None]))
    return losses[mined].sum() / loss_divisor(int(positives.sum()))


class CascadeStage(NamedTuple):
    """A stage of a cascade; a detector without a cascade has a single stage.

    outputs: of its heads.
    anchors: (n, 4) or (B, n, 4), center and size in pixels, the boxes its offsets refer to.
    thresholds: by which its anchors are matched to faces.
    """

    outputs: AnchorOutputs
    anchors: Tensor
    thresholds: MatchThresholds


def cascade_losses(
    stages: Sequence[CascadeStage],
    teachers: Sequence[AnchorOutputs] | None,
    boxes: Sequence[Tensor],
    landmarks: Sequence[Tensor],
    negatives_per_positive: float,
    ignored: Sequence[Tensor] | None = None,
) -> tuple[dict[str, Tensor], list[Matches]]:
    """Sum the detection and LwF losses over the stages of a cascade.

    RetinaFace, CVPR 2020: cascade multi-task loss.

    Args:
        stages: one or two.
        teachers: outputs of the initial network per stage; None: the loss `lwf` is 0.
        boxes: per image (m, 4), x1 y1 x2 y2.
        landmarks: per image (m, 5, 2), NaN where absent.
        negatives_per_positive: hardest negatives per positive (OHEM).
        ignored: per image (k, 4), regions whose anchors are no negatives.

    Returns:
        The losses by the names of their weights, and the matches per image of the last stage.
    """
    ignored = [faces[:0] for faces in boxes] if ignored is None else ignored
    totals: dict[str, Tensor] = {}
    for number, (outputs, anchors, thresholds) in enumerate(stages):
        anchor_boxes = anchors_to_boxes(anchors).expand(len(boxes), -1, -1)
        matches = [
            match_anchors(own_anchors, faces, thresholds, regions)
            for own_anchors, faces, regions in zip(anchor_boxes, boxes, ignored, strict=True)
        ]
        losses = detection_losses(outputs, anchors, matches, boxes, landmarks, negatives_per_positive)
        lwf = outputs.logits.sum() * 0 if teachers is None else lwf_loss(outputs, teachers[number])
        for name, loss in {**losses._asdict(), "lwf": lwf}.items():
            totals[name] = totals[name] + loss if name in totals else loss
    return totals, matches


@torch.no_grad()
def predicted_landmarks(outputs: AnchorOutputs, image: int, anchors: Tensor, match: Matches, labeled: Tensor) -> Tensor:
    """Decode the landmarks of each face from its best-scored anchor, as inference does.

    Args:
        outputs: of the heads.
        image: index of the image in the batch.
        anchors: (n, 4) center and size, of that image.
        match: of that image.
        labeled: (m, 5, 2), the result for faces without a matched anchor.

    Returns:
        (m, 5, 2) in pixels.
    """
    points = labeled.clone()
    scores = outputs.logits[image].softmax(-1)[:, 1]
    for face in match.faces[match.positive].unique().tolist():
        candidates = (match.faces == face).nonzero()[:, 0]
        best = candidates[scores[candidates].argmax()]
        points[face] = decode_landmarks(outputs.landmarks[image, best][None], anchors[best][None])[0]
    return points
