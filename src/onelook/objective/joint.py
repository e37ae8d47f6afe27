"""The joint loss: detection, identity and not forgetting, over one batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from onelook.geometry.anchors import AnchorOutputs, corners
from onelook.geometry.boxes import decode_landmarks
from onelook.objective.detection import detection_losses
from onelook.objective.keeping import keeping_loss
from onelook.objective.matching import Matches, match_anchors
from onelook.settings import Thresholds


class Stage(NamedTuple):
    """One stage of a cascade, or the only one.

    outputs: of its heads. anchors: what they start from, (n, 4) or (B, n, 4), centre and size, in pixels. thresholds:
    by which those are matched with faces.
    """

    outputs: AnchorOutputs
    anchors: Tensor
    thresholds: Thresholds


def anchor_losses(
    stages: Sequence[Stage],
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
        edges = corners(anchors).expand(len(boxes), -1, -1)
        matches = [
            match_anchors(each, faces, thresholds, unsure)
            for each, faces, unsure in zip(edges, boxes, ignored, strict=True)
        ]
        losses = detection_losses(outputs, anchors, matches, boxes, landmarks, negatives_per_positive)
        keep = outputs.logits.sum() * 0 if teachers is None else keeping_loss(outputs, teachers[number])
        for name, loss in {**losses._asdict(), "keep": keep}.items():
            sums[name] = sums[name] + loss if name in sums else loss
    return sums, matches


@torch.no_grad()
def predicted_landmarks(
    outputs: AnchorOutputs, image: int, anchors: Tensor, match: Matches, labelled: Tensor
) -> Tensor:
    """Landmarks (m, 5, 2) as inference would have them: each face's best-scored anchor speaks for it.

    `anchors` (n, 4) are what the image's outputs start from. A face that no anchor answers for keeps its `labelled`
    ones (m, 5, 2).
    """
    points = labelled.clone()
    scores = outputs.logits[image].softmax(-1)[:, 1]
    for face in match.faces[match.positive].unique().tolist():
        own = (match.faces == face).nonzero()[:, 0]
        best = own[scores[own].argmax()]
        points[face] = decode_landmarks(outputs.landmarks[image, best][None], anchors[best][None])[0]
    return points
