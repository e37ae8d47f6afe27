"""Distillation: embeddings are pulled to those that a teacher gives the same faces."""

from torch import Tensor


def distillation_loss(embeddings: Tensor, taught: Tensor) -> Tensor:
    """Mean of 1 - cos over faces; both (n, d), L2-normalised. Faces whose teacher's row is NaN are left out.

    It is half the squared distance of the two points on the sphere: the regression of FitNets' last layer (Romero et
    al., ICLR 2015, equation 3) on normalised embeddings.
    """
    known = taught.isfinite().all(-1)
    if not known.any():
        return embeddings.sum() * 0
    return 1 - (embeddings[known].float() * taught[known]).sum(-1).mean()
