"""Distillation: embeddings are pulled to those that a teacher gives the same faces."""

import torch
from torch import Tensor
from torch.nn import functional

from onelook.distributed import loss_divisor
from onelook.geometry.anchors import AnchorOutputs


def distillation_loss(embeddings: Tensor, taught: Tensor) -> Tensor:
    """Mean of 1 - cos over faces; both (n, d), L2-normalized. Faces whose teacher's row is NaN are left out.

    It is half the squared distance of the two points on the sphere: the regression of FitNets' last layer (Romero et
    al., ICLR 2015, equation 3) on normalized embeddings.
    """
    known = taught.isfinite().all(-1)
    if not known.any():
        return embeddings.sum() * 0
    return 1 - (embeddings[known].float() * taught[known]).sum(-1).mean()


# Background anchors far outnumber faces; those the teacher is this sure of teach nothing more.
_SURE_BACKGROUND = 0.01


def lwf_loss(outputs: AnchorOutputs, teacher: AnchorOutputs) -> Tensor:
    """How far the outputs went from the teacher's, a scalar.

    The Kullback-Leibler divergence of face against background over the anchors either network takes for a possible
    face, plus the smooth-L1 distance of box and landmark offsets weighted by the teacher's face probability, both per
    unit of that probability (at least 1) in all processes that train together.
    """
    with torch.no_grad():
        sure = teacher.logits.softmax(-1)[..., 1]
        mass = loss_divisor(float(sure.sum()))
        doubtful = (sure > _SURE_BACKGROUND) | (outputs.logits.softmax(-1)[..., 1] > _SURE_BACKGROUND)
    divergence = functional.kl_div(
        outputs.logits[doubtful].log_softmax(-1),
        teacher.logits[doubtful].log_softmax(-1),
        reduction="sum",
        log_target=True,
    )
    return (
        divergence
        + _distance(outputs.boxes, teacher.boxes, sure)
        + _distance(outputs.landmarks, teacher.landmarks, sure)
    ) / mass


def _distance(offsets: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    return (functional.smooth_l1_loss(offsets, wanted, reduction="none").sum(-1) * weight).sum()
