"""Not forgetting: the detector in training stays close to the outputs of the detector it started from.

Learning without forgetting (Li and Hoiem, ECCV 2016): the starting network, frozen, teaches on whatever photos there
are, so that what it knows of photos no longer at hand is kept.
"""

import torch
from torch import Tensor
from torch.nn import functional

from onelook.geometry.anchors import AnchorOutputs
from onelook.together import normaliser

# Background anchors far outnumber faces; those the teacher is this sure of teach nothing more.
_SURE_BACKGROUND = 0.01


def keeping_loss(outputs: AnchorOutputs, teacher: AnchorOutputs) -> Tensor:
    """How far the outputs went from the teacher's, a scalar.

    The Kullback-Leibler divergence of face against background over the anchors either network takes for a possible
    face, plus the smooth-L1 distance of box and landmark offsets weighted by the teacher's face probability, both per
    unit of that probability (at least 1) in all processes that train together.
    """
    with torch.no_grad():
        sure = teacher.logits.softmax(-1)[..., 1]
        mass = normaliser(float(sure.sum()))
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
