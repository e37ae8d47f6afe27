"""RetinaFace's detection losses (Deng et al., arXiv 1905.00641, equation 1).

In order: anchor matching, classification with online hard example mining (OHEM), box and landmark regression, and the
sum over the stages of a cascade.

The labels of a batch are padded to the same number of faces M per image, at least 1: boxes with zeros, landmarks with
NaN. No loss has a loop over images or faces, or a result whose size depends on the data, so a device never waits for
the host.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from onelook.distributed import loss_divisor
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
# Area of the smallest anchors of all networks, in square pixels.
_SMALLEST_AREA = 16.0 * 16.0
# Faces compared with the anchors at once; more of them are compared in blocks, which bounds the memory.
_FACES_PER_BLOCK = 64


class Matches(NamedTuple):
    """The match of every anchor of a batch.

    faces: (B, n) int64, the index of the anchor's face in its image, `BACKGROUND` or `IGNORED`.
    """

    faces: Tensor

    @property
    def positive(self) -> Tensor:
        """Return the mask (B, n) of the anchors matched to a face."""
        return self.faces >= 0

    @property
    def negative(self) -> Tensor:
        """Return the mask (B, n) of the background anchors."""
        return self.faces == BACKGROUND

    def gather(self, rows: Tensor) -> Tensor:
        """Return what each anchor's face has: rows (B, M, ...) -> (B, n, ...); the first face's where it has none."""
        index = self.faces.clip(min=0).view(*self.faces.shape, *[1] * (rows.ndim - 2))
        return rows.gather(1, index.expand(-1, -1, *rows.shape[2:]))


def match_anchors(
    anchors: Tensor, boxes: Tensor, thresholds: MatchThresholds, ignored: Tensor | None = None
) -> Matches:
    """Match the anchors of each image to its faces by IoU.

    - An anchor is matched to the face of its highest IoU, from `positive` up.
    - It is background below `negative`, and ignored in between.
    - Every face is also matched to its best anchor, where one overlaps it (SSD, Liu et al. 2016, section 2.2). Of two
      faces with the same best anchor, the later one is matched.
    - Background is ignored where half the anchor lies inside an ignored box, or its IoU with one reaches `negative`.

    Args:
        anchors: (B, n, 4) x1 y1 x2 y2.
        boxes: (B, M, 4) x1 y1 x2 y2, the faces; empty boxes are padding.
        thresholds: `positive` and `negative` IoU.
        ignored: (B, K, 4) x1 y1 x2 y2, regions that may be faces or not; empty boxes are padding.
    """
    best_iou, faces, claims = _match_by_iou(anchors, boxes)
    faces = torch.where(best_iou < thresholds.positive, IGNORED, faces)
    faces = torch.where(best_iou < thresholds.negative, BACKGROUND, faces)
    faces = torch.where(claims >= 0, claims, faces)
    if ignored is not None:
        covered = _is_ignored(anchors, ignored, thresholds.negative)
        faces = torch.where((faces == BACKGROUND) & covered, IGNORED, faces)
    return Matches(faces)


def _match_by_iou(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the highest IoU of each anchor (B, n), its face, and the face whose best anchor it is, or -1."""
    best_iou = anchors.new_full(anchors.shape[:2], -1)
    faces = torch.zeros_like(best_iou, dtype=torch.int64)
    claims = torch.full_like(faces, -1)
    for first, block in enumerate(boxes.split(_FACES_PER_BLOCK, dim=1)):
        iou = pairwise_iou(anchors, block)  # (B, n, m)
        block_iou, block_faces = iou.max(dim=2)
        faces = torch.where(block_iou > best_iou, block_faces + first * _FACES_PER_BLOCK, faces)
        best_iou = torch.maximum(best_iou, block_iou)
        face_iou, face_anchors = iou.max(dim=1)
        numbers = torch.arange(block.shape[1], device=boxes.device) + first * _FACES_PER_BLOCK
        claims = claims.scatter_reduce(1, face_anchors, torch.where(face_iou > 0, numbers, -1), "amax")
    return best_iou, faces, claims


def _is_ignored(anchors: Tensor, ignored: Tensor, min_iou: float) -> Tensor:
    """Return the mask (B, n) of the anchors that overlap an ignored box by `min_iou`, or lie half inside one."""
    masks = []
    for block in ignored.split(_FACES_PER_BLOCK, dim=1):
        inner = pairwise_intersection(anchors, block)
        inside = (inner > 0) & (inner >= _MIN_IGNORED_FRACTION * box_areas(anchors)[..., None])
        masks.append((inside | (pairwise_iou(anchors, block) >= min_iou)).any(2))
    return torch.stack(masks).any(0)


class DetectionLosses(NamedTuple):
    """Scalars: cross-entropy of the mined anchors, smooth-L1 of boxes and of landmarks."""

    classification: Tensor
    box: Tensor
    landmarks: Tensor


class TrainedAnchors(NamedTuple):
    """Masks (n,) or (B, n) bool of the anchors that train each loss, where a stage does not predict all of them."""

    classification: Tensor
    box: Tensor
    landmarks: Tensor


def detection_losses(
    outputs: AnchorOutputs,
    anchors: Tensor,
    matches: Matches,
    boxes: Tensor,
    landmarks: Tensor,
    negatives_per_positive: float,
    scale_margin: float = 0.0,
    trained: TrainedAnchors | None = None,
) -> DetectionLosses:
    """Compute the classification, box and landmark losses of a batch.

    Each is divided by the number of positive anchors of the whole batch, at least 1. The landmark loss is divided by
    the number of labeled points, five of which count as one anchor.

    Args:
        outputs: of the heads, for B images.
        anchors: (n, 4) center and size, or (B, n, 4) where each image has its own.
        matches: of the batch.
        boxes: (B, M, 4), x1 y1 x2 y2.
        landmarks: (B, M, 5, 2); NaN points are left out of the landmark loss.
        negatives_per_positive: hardest negatives per positive of the image (OHEM).
        scale_margin: of `subtract_scale_margin`.
        trained: the anchors of each loss; None: all. A loss counts its own positive anchors.
    """
    classified = positive = located = matches.positive
    negative = matches.negative
    if trained is not None:
        classified, negative = classified & trained.classification, negative & trained.classification
        positive, located = positive & trained.box, located & trained.landmarks
    count = loss_divisor(positive.sum())
    logits = outputs.logits
    if scale_margin > 0:
        logits = subtract_scale_margin(logits, matches, boxes, scale_margin)
    classification = ohem_cross_entropy(logits, classified, negative, negatives_per_positive)

    box_targets = encode_boxes(matches.gather(boxes), anchors)
    box_losses = functional.smooth_l1_loss(outputs.boxes, box_targets, reduction="none").sum(-1)
    box = box_losses.where(positive, 0).sum() / count

    points = matches.gather(landmarks)  # (B, n, 5, 2)
    labeled = points.isfinite().all(-1) & located[..., None]
    point_targets = encode_landmarks(points.nan_to_num(), anchors)
    point_losses = functional.smooth_l1_loss(outputs.landmarks, point_targets, reduction="none").view_as(points).sum(-1)
    landmark = point_losses.where(labeled, 0).sum() / loss_divisor(labeled.sum().to(point_losses.dtype) / 5)
    return DetectionLosses(classification, box, landmark)


def subtract_scale_margin(logits: Tensor, matches: Matches, boxes: Tensor, margin: float) -> Tensor:
    """Subtract a margin from the face logits of positive anchors, the larger the smaller their face.

    After the scale-aware margin of RefineFace (Zhang et al., arXiv 1909.04376): alpha / (w h) for a face of w x h
    pixels, here with alpha = 16 x 16 x `margin`. It does not grow below faces of 16 x 16 pixels, the smallest anchors.

    Args:
        logits: (B, n, 2), background and face.
        matches: of the batch.
        boxes: (B, M, 4), x1 y1 x2 y2.
        margin: of a face of 16 x 16 pixels or less.
    """
    areas = box_areas(matches.gather(boxes)).clip(min=_SMALLEST_AREA)
    margins = (margin * _SMALLEST_AREA / areas).where(matches.positive, 0)
    return torch.stack([logits[..., 0], logits[..., 1] - margins], -1)


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
    losses = _binary_cross_entropy(logits, positives)
    with torch.no_grad():
        counts = (positives.sum(1).clip(min=1) * negatives_per_positive).long()
        order = losses.masked_fill(~negatives, -torch.inf).argsort(dim=1, descending=True, stable=True)
        hardest = torch.arange(losses.shape[1], device=losses.device) < counts[:, None]
        mined = positives | (negatives & torch.zeros_like(negatives).scatter(1, order, hardest))
    return losses.where(mined, 0).sum() / loss_divisor(positives.sum())


def _binary_cross_entropy(logits: Tensor, positives: Tensor) -> Tensor:
    """Compute the softmax cross-entropy (B, n) of background and face."""
    losses = functional.cross_entropy(logits.flatten(0, 1), positives.long().flatten(), reduction="none")
    return losses.view_as(positives)


class CascadeStage(NamedTuple):
    """A stage of a cascade; a detector without a cascade has a single stage.

    outputs: of its heads.
    anchors: (n, 4) or (B, n, 4), center and size in pixels, the boxes its offsets refer to.
    thresholds: by which its anchors are matched to faces.
    trained: the anchors of each of its losses; None: all.
    dropped: (B, n) bool, anchors without a loss, which the stage before has dropped; None: none.
    """

    outputs: AnchorOutputs
    anchors: Tensor
    thresholds: MatchThresholds
    trained: TrainedAnchors | None = None
    dropped: Tensor | None = None


def cascade_losses(
    stages: Sequence[CascadeStage],
    teachers: Sequence[AnchorOutputs] | None,
    boxes: Tensor,
    landmarks: Tensor,
    negatives_per_positive: float,
    ignored: Tensor | None = None,
    scale_margin: float = 0.0,
) -> tuple[dict[str, Tensor], Matches]:
    """Sum the detection and LwF losses over the stages of a cascade.

    RetinaFace, CVPR 2020: cascade multi-task loss.

    Args:
        stages: one or two.
        teachers: outputs of the initial network per stage; None: the loss `lwf` is 0.
        boxes: (B, M, 4), x1 y1 x2 y2.
        landmarks: (B, M, 5, 2), NaN where absent.
        negatives_per_positive: hardest negatives per positive (OHEM).
        ignored: (B, K, 4), regions whose anchors are no negatives.
        scale_margin: of `subtract_scale_margin`.

    Returns:
        The losses by the names of their weights, and the matches of the last stage.
    """
    totals: dict[str, Tensor] = {}
    for number, (outputs, anchors, thresholds, trained, dropped) in enumerate(stages):
        anchor_boxes = anchors_to_boxes(anchors).expand(len(boxes), -1, -1)
        matches = match_anchors(anchor_boxes, boxes, thresholds, ignored)
        if dropped is not None:
            matches = Matches(matches.faces.masked_fill(dropped, IGNORED))
        losses = detection_losses(
            outputs, anchors, matches, boxes, landmarks, negatives_per_positive, scale_margin, trained
        )
        lwf = outputs.logits.sum() * 0 if teachers is None else lwf_loss(outputs, teachers[number])
        for name, loss in {**losses._asdict(), "lwf": lwf}.items():
            totals[name] = totals[name] + loss if name in totals else loss
    return totals, matches


@torch.no_grad()
def predicted_landmarks(outputs: AnchorOutputs, anchors: Tensor, matches: Matches, labeled: Tensor) -> Tensor:
    """Decode the landmarks of each face from its best-scored anchor, as inference does.

    Args:
        outputs: of the heads.
        anchors: (B, n, 4) center and size.
        matches: of the anchors.
        labeled: (B, M, 5, 2), the result for faces without a matched anchor.

    Returns:
        (B, M, 5, 2) in pixels.
    """
    positive, faces = matches.positive, matches.faces.clip(min=0)
    scores = outputs.logits.softmax(-1)[..., 1].where(positive, -1)  # (B, n)
    best = scores.new_full(labeled.shape[:2], -1).scatter_reduce(1, faces, scores, "amax")
    # The first of equal scores counts.
    no_anchor = scores.shape[1]
    numbers = torch.arange(no_anchor, device=faces.device)
    numbers = torch.where(positive & (scores == best.gather(1, faces)), numbers, no_anchor)
    rows = torch.full_like(best, no_anchor, dtype=torch.int64).scatter_reduce(1, faces, numbers, "amin")
    found, rows = rows < no_anchor, rows.clip(max=no_anchor - 1)[..., None]
    offsets = outputs.landmarks.gather(1, rows.expand(-1, -1, outputs.landmarks.shape[2]))
    points = decode_landmarks(offsets, anchors.gather(1, rows.expand(-1, -1, 4)))
    return torch.where(found[..., None, None], points, labeled)
