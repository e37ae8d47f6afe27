"""RetinaFace's detection losses: is it a face, where is its box, where its points (arXiv 1905.00641, equation 1)."""

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


class Matches(NamedTuple):
    """faces: (n,) int64, each anchor's face, `BACKGROUND` or `IGNORED`."""

    faces: Tensor

    @property
    def positive(self) -> Tensor:
        """(n,) bool: anchors that answer for a face."""
        return self.faces >= 0

    @property
    def negative(self) -> Tensor:
        """(n,) bool: anchors that must say background."""
        return self.faces == BACKGROUND


# An anchor half inside an ignored box shows what is in it, whatever their sizes (as in COCO's crowds).
_INSIDE = 0.5


def match_anchors(anchors: Tensor, boxes: Tensor, settings: MatchThresholds, ignored: Tensor | None = None) -> Matches:
    """Match anchors (n, 4) to faces (m, 4), both as x1 y1 x2 y2.

    An anchor belongs to the face it overlaps most, if by `positive` or more; to the background, if by less than
    `negative`; between them it is ignored. Every face gets at least the anchor that overlaps it most, if any does
    (SSD, Liu et al. 2016, section 2.2); where two faces claim one anchor, the later face has it. Background that lies
    half inside one of the `ignored` boxes (k, 4), or would not be background if that were a face, is ignored.
    """
    faces = _match(anchors, boxes, settings)
    if ignored is not None and len(ignored):
        upon = (pairwise_iou(anchors, ignored) >= settings.negative).any(1)
        inside = pairwise_intersection(anchors, ignored) >= _INSIDE * box_areas(anchors)[:, None]
        faces[(faces == BACKGROUND) & (upon | inside.any(1))] = IGNORED
    return Matches(faces)


def _match(anchors: Tensor, boxes: Tensor, settings: MatchThresholds) -> Tensor:
    if len(boxes) == 0:
        return torch.full((len(anchors),), BACKGROUND, dtype=torch.int64)
    overlap = pairwise_iou(anchors, boxes)
    best, faces = overlap.max(dim=1)
    faces[best < settings.positive] = IGNORED
    faces[best < settings.negative] = BACKGROUND
    highest, nearest = overlap.max(dim=0)
    for face in (highest > 0).nonzero()[:, 0].tolist():
        faces[nearest[face]] = face
    return faces


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
        anchors: (n, 4), or (B, n, 4) where each image has its own, center and size.
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
    if all_reduce_count(len(image)) == 0:
        nothing = outputs.boxes.sum() * 0
        return DetectionLosses(classification, nothing, nothing)
    faces = [match.faces[match.positive] for match in matches]
    wanted_boxes = encode_boxes(torch.cat([b[f] for b, f in zip(boxes, faces, strict=True)]), anchors[image, anchor])
    found_boxes = outputs.boxes[image, anchor]
    box = functional.smooth_l1_loss(found_boxes, wanted_boxes, reduction="sum") / loss_divisor(len(image))
    points = torch.cat([p[f] for p, f in zip(landmarks, faces, strict=True)])
    present = points.isfinite().all(-1)
    wanted_points = encode_landmarks(points, anchors[image, anchor]).view_as(points)[present]
    found = outputs.landmarks[image, anchor].view_as(points)[present]
    point = functional.smooth_l1_loss(found, wanted_points, reduction="sum") / loss_divisor(int(present.sum()) / 5)
    return DetectionLosses(classification, box, point)


def _mined_softmax(logits: Tensor, positives: Tensor, negatives: Tensor, ratio: float) -> Tensor:
    """Cross-entropy over all positives and each image's hardest negatives (OHEM, sorted by loss), per positive."""
    losses = functional.cross_entropy(logits.flatten(0, 1), positives.long().flatten(), reduction="none")
    losses = losses.unflatten(0, positives.shape)
    with torch.no_grad():
        counts = (positives.sum(1).clip(min=1) * ratio).long()
        ranks = losses.masked_fill(~negatives, -torch.inf).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        kept = positives | (negatives & (ranks < counts[:, None]))
    return losses[kept].sum() / loss_divisor(int(positives.sum()))


class CascadeStage(NamedTuple):
    """One stage of a cascade, or the only one.

    outputs: of its heads. anchors: what they start from, (n, 4) or (B, n, 4), center and size, in pixels. thresholds:
    by which those are matched with faces.
    """

    outputs: AnchorOutputs
    anchors: Tensor
    thresholds: MatchThresholds


def anchor_losses(
    stages: Sequence[CascadeStage],
    teachers: Sequence[AnchorOutputs] | None,
    boxes: Sequence[Tensor],
    landmarks: Sequence[Tensor],
    negatives_per_positive: float,
    ignored: Sequence[Tensor] | None = None,
) -> tuple[dict[str, Tensor], list[Matches]]:
    """All losses of the anchors' outputs, by the names of their weights, and the matches of the last stage.

    Each is the sum over the stages (RetinaFace, CVPR 2020: cascade multi-task loss). Boxes (m, 4) and landmarks
    (m, 5, 2) are per image, teachers per stage. Without teachers, `keep` is 0. Anchors upon `ignored` boxes (k, 4),
    per image, are no negatives.
    """
    ignored = [faces[:0] for faces in boxes] if ignored is None else ignored
    sums: dict[str, Tensor] = {}
    for number, (outputs, anchors, thresholds) in enumerate(stages):
        edges = anchors_to_boxes(anchors).expand(len(boxes), -1, -1)
        matches = [
            match_anchors(each, faces, thresholds, unsure)
            for each, faces, unsure in zip(edges, boxes, ignored, strict=True)
        ]
        losses = detection_losses(outputs, anchors, matches, boxes, landmarks, negatives_per_positive)
        keep = outputs.logits.sum() * 0 if teachers is None else lwf_loss(outputs, teachers[number])
        for name, loss in {**losses._asdict(), "keep": keep}.items():
            sums[name] = sums[name] + loss if name in sums else loss
    return sums, matches


@torch.no_grad()
def predicted_landmarks(outputs: AnchorOutputs, image: int, anchors: Tensor, match: Matches, labeled: Tensor) -> Tensor:
    """Landmarks (m, 5, 2) as inference would have them: each face's best-scored anchor speaks for it.

    `anchors` (n, 4) are what the image's outputs start from. A face that no anchor answers for keeps its `labeled`
    ones (m, 5, 2).
    """
    points = labeled.clone()
    scores = outputs.logits[image].softmax(-1)[:, 1]
    for face in match.faces[match.positive].unique().tolist():
        own = (match.faces == face).nonzero()[:, 0]
        best = own[scores[own].argmax()]
        points[face] = decode_landmarks(outputs.landmarks[image, best][None], anchors[best][None])[0]
    return points
