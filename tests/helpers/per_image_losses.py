"""Detection losses with loops over images and faces: the twins of `onelook.losses.detection` in tests.

Labels are a list with an entry per image, without padding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import (
    box_areas,
    decode_landmarks,
    encode_boxes,
    encode_landmarks,
    pairwise_intersection,
    pairwise_iou,
)
from onelook.losses.detection import BACKGROUND, IGNORED
from onelook.settings import MatchThresholds


def match_image(anchors: Tensor, boxes: Tensor, thresholds: MatchThresholds, ignored: Tensor) -> Tensor:
    """Match anchors (n, 4) to the faces (m, 4) of an image, beside ignored boxes (k, 4); returns faces (n,)."""
    faces = torch.full((len(anchors),), BACKGROUND)
    if len(boxes):
        iou = pairwise_iou(anchors, boxes)
        best_iou, faces = iou.max(dim=1)
        faces[best_iou < thresholds.positive] = IGNORED
        faces[best_iou < thresholds.negative] = BACKGROUND
        face_iou, face_anchors = iou.max(dim=0)
        for face in range(len(boxes)):
            if face_iou[face] > 0:
                faces[face_anchors[face]] = face
    if len(ignored):
        overlaps = (pairwise_iou(anchors, ignored) >= thresholds.negative).any(1)
        inside = pairwise_intersection(anchors, ignored) >= 0.5 * box_areas(anchors)[:, None]
        faces[(faces == BACKGROUND) & (overlaps | inside.any(1))] = IGNORED
    return faces


def detection_losses_by_image(
    outputs: AnchorOutputs,
    anchors: Tensor,
    faces: Sequence[Tensor],
    boxes: Sequence[Tensor],
    landmarks: Sequence[Tensor],
    negatives_per_positive: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the classification, box and landmark losses; `anchors` are (n, 4), `faces` those of `match_image`."""
    classification, box, landmark = (values.sum() * 0 for values in outputs)
    positives, points = 0, 0
    for image, matched in enumerate(faces):
        rows = (matched >= 0).nonzero()[:, 0]
        losses = functional.cross_entropy(outputs.logits[image], (matched >= 0).long(), reduction="none")
        negatives = (matched == BACKGROUND).nonzero()[:, 0]
        count = int(max(1, len(rows)) * negatives_per_positive)
        hardest = losses[negatives].argsort(descending=True, stable=True)[:count]
        classification = classification + losses[rows].sum() + losses[negatives[hardest]].sum()
        positives += len(rows)
        for row in rows.tolist():
            anchor, face = anchors[row : row + 1], int(matched[row])
            box_target = encode_boxes(boxes[image][face : face + 1], anchor)[0]
            box = box + functional.smooth_l1_loss(outputs.boxes[image, row], box_target, reduction="sum")
            target = encode_landmarks(landmarks[image][face : face + 1], anchor).view(5, 2)
            for point in range(5):
                if bool(target[point].isfinite().all()):
                    offset = outputs.landmarks[image, row].view(5, 2)[point]
                    landmark = landmark + functional.smooth_l1_loss(offset, target[point], reduction="sum")
                    points += 1
    return classification / max(1, positives), box / max(1, positives), landmark / max(1, points / 5)


def predict_landmarks_by_face(
    outputs: AnchorOutputs, image: int, anchors: Tensor, faces: Tensor, labeled: Tensor
) -> Tensor:
    """Decode the landmarks (m, 5, 2) of an image's faces from their best anchors; the labeled ones without one."""
    points = labeled.clone()
    scores = outputs.logits[image].softmax(-1)[:, 1]
    for face in range(len(labeled)):
        candidates = (faces == face).nonzero()[:, 0]
        if len(candidates):
            best = candidates[scores[candidates].argmax()]
            points[face] = decode_landmarks(outputs.landmarks[image, best][None], anchors[best][None])[0]
    return points
