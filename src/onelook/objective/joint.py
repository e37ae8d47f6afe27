"""The joint loss: detection, identity and not forgetting, over one batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from onelook.geometry.anchors import AnchorOutputs, corners
from onelook.geometry.boxes import decode_landmarks
from onelook.objective.detection import detection_losses
from onelook.objective.keeping import keeping_loss
from onelook.objective.matching import Matches, match_anchors
from onelook.settings import Matching


def anchor_losses(
    outputs: AnchorOutputs,
    teacher: AnchorOutputs | None,
    anchors: Tensor,
    boxes: Sequence[Tensor],
    landmarks: Sequence[Tensor],
    settings: Matching,
) -> tuple[dict[str, Tensor], list[Matches]]:
    """All losses of the anchors' outputs, by the names of their weights, and the matches they rest upon.

    `anchors` (n, 4) as centre and size; boxes and landmarks per image. Without a teacher, `keep` is 0.
    """
    edges = corners(anchors)
    matches = [match_anchors(edges, faces, settings) for faces in boxes]
    losses = detection_losses(outputs, anchors, matches, boxes, landmarks, settings.negatives_per_positive)
    keep = outputs.logits.sum() * 0 if teacher is None else keeping_loss(outputs, teacher)
    return {**losses._asdict(), "keep": keep}, matches


@torch.no_grad()
def predicted_landmarks(
    outputs: AnchorOutputs, image: int, anchors: Tensor, match: Matches, labelled: Tensor
) -> Tensor:
    """Landmarks (m, 5, 2) as inference would have them: each face's best-scored anchor speaks for it.

    A face that no anchor answers for keeps its `labelled` ones (m, 5, 2).
    """
    points = labelled.clone()
    scores = outputs.logits[image].softmax(-1)[:, 1]
    for face in match.faces[match.positive].unique().tolist():
        own = (match.faces == face).nonzero()[:, 0]
        best = own[scores[own].argmax()]
        points[face] = decode_landmarks(outputs.landmarks[image, best][None], anchors[best][None])[0]
    return points
