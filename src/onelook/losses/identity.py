"""Registry of the identity losses, by the names of `train.identity.loss`."""

from collections.abc import Callable

from torch import nn

from onelook.losses.margin import ArcFaceLoss, CombinedMarginLoss, SoftmaxLoss
from onelook.losses.metric import OIMLoss, SoftmaxCenterLoss, TripletLoss
from onelook.settings import IdentitySettings

IDENTITY_LOSSES: dict[str, Callable[[IdentitySettings, int, int], nn.Module]] = {
    "arcface": lambda s, dim, n: ArcFaceLoss(dim, n, scale=s.scale, margin=s.arcface.margin),
    "cosface": lambda s, dim, n: CombinedMarginLoss(dim, n, scale=s.scale, m3=s.cosface.margin),
    "sphereface": lambda s, dim, n: CombinedMarginLoss(dim, n, scale=s.scale, m1=s.sphereface.margin),
    "combined": lambda s, dim, n: CombinedMarginLoss(dim, n, scale=s.scale, **s.combined.model_dump()),
    "normalized": lambda s, dim, n: CombinedMarginLoss(dim, n, scale=s.scale),
    "softmax": lambda s, dim, n: SoftmaxLoss(dim, n),
    "triplet": lambda s, dim, n: TripletLoss(s.triplet.margin),
    "center": lambda s, dim, n: SoftmaxCenterLoss(dim, n, **s.center.model_dump()),
    "oim": lambda s, dim, n: OIMLoss(dim, n, **s.oim.model_dump()),
}
"""Name: function of the settings, the embedding dimension and the number of identities that builds the loss."""


def build_identity_loss(settings: IdentitySettings, dim: int, identities: int) -> nn.Module:
    """Build the identity loss `settings.loss`.

    Args:
        settings: the name of the loss, and the parameters of every loss.
        dim: of the embeddings.
        identities: number of identities.

    Returns:
        A module whose forward maps embeddings (n, dim), L2-normalized, and identities (n,) on the CPU to the mean
        loss of the labeled faces. Everything it keeps from step to step is in its state dict.
    """
    return IDENTITY_LOSSES[settings.loss](settings, dim, identities)
