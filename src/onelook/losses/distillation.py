"""Distillation of embeddings, and learning without forgetting (LwF) of detections."""

import torch
from torch import Tensor
from torch.nn import functional

from onelook.distributed import loss_divisor
from onelook.geometry.anchors import AnchorOutputs
from onelook.precision import to_float32

# Background anchors far outnumber faces: LwF leaves out anchors that both networks score below this.
_MIN_FACE_PROBABILITY = 0.01


def distillation_loss(embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
    """Compute the mean cosine distance of embeddings to those of a teacher.

    1 - cos is half the squared Euclidean distance of normalized embeddings: the hint regression of FitNets (Romero et
    al., ICLR 2015, equation 3).

    Args:
        embeddings: (n, d), L2-normalized.
        teacher_embeddings: (n, d), L2-normalized; rows that are NaN are left out.

    Returns:
        A scalar; 0 where every row of the teacher is NaN.
    """
    labeled = teacher_embeddings.isfinite().all(-1)
    cosines = (to_float32(embeddings) * teacher_embeddings.nan_to_num()).sum(-1)
    return (1 - cosines).where(labeled, 0).sum() / labeled.sum().clip(min=1)


def similarity_loss(embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
    """Compute the mean squared difference of the cosine similarities of a batch.

    Relational distillation: the network reproduces the teacher's similarity of each pair of faces (relational knowledge
    distillation, Park et al., CVPR 2019; similarity-preserving distillation, Tung and Mori, ICCV 2019). The dimensions
    of both embeddings may differ.

    Args:
        embeddings: (n, d), L2-normalized.
        teacher_embeddings: (n, e), L2-normalized; rows that are NaN are left out.

    Returns:
        A scalar, the mean over all ordered pairs, those of a face with itself included; 0 where every row of the
        teacher is NaN.
    """
    labeled = teacher_embeddings.isfinite().all(-1)
    embeddings, targets = to_float32(embeddings), teacher_embeddings.nan_to_num()
    differences = embeddings @ embeddings.mT - targets @ targets.mT
    pairs = labeled[:, None] & labeled
    return (differences**2).where(pairs, 0).sum() / pairs.sum().clip(min=1)


def lwf_loss(outputs: AnchorOutputs, teacher: AnchorOutputs) -> Tensor:
    """Compute the distance of detection outputs to those of the initial network.

    Learning without forgetting (Li and Hoiem, ECCV 2016), applied to a detector. The loss is the sum of two terms:

    - The Kullback-Leibler divergence of the face probability, over the anchors that either network scores above
      0.01.
    - The smooth-L1 distance of box and landmark offsets, weighted by the teacher's face probability.

    The sum is divided by the teacher's face probability, summed over the anchors of the whole batch (at least 1).

    Returns:
        A scalar.
    """
    with torch.no_grad():
        face_probability = teacher.logits.softmax(-1)[..., 1]
        divisor = loss_divisor(face_probability.sum())
        student_probability = outputs.logits.softmax(-1)[..., 1]
        candidates = (face_probability > _MIN_FACE_PROBABILITY) | (student_probability > _MIN_FACE_PROBABILITY)
    student, target = (each.logits.log_softmax(-1) for each in (outputs, teacher))
    divergences = functional.kl_div(student, target, reduction="none", log_target=True).sum(-1)
    return (
        divergences.where(candidates, 0).sum()
        + _weighted_smooth_l1(outputs.boxes, teacher.boxes, face_probability)
        + _weighted_smooth_l1(outputs.landmarks, teacher.landmarks, face_probability)
    ) / divisor


def _weighted_smooth_l1(offsets: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    return (functional.smooth_l1_loss(offsets, targets, reduction="none").sum(-1) * weights).sum()
