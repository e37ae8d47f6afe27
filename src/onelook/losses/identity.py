"""The identity losses by the name the settings give them."""

from torch import nn

from onelook.losses.margin import ArcFaceLoss, CombinedMarginLoss, SoftmaxLoss
from onelook.losses.metric import OIMLoss, SoftmaxCenterLoss, TripletLoss
from onelook.settings import IdentitySettings


def build_identity_loss(settings: IdentitySettings, size: int, identities: int) -> nn.Module:
    """The loss that `settings.loss` names, for embeddings of `size` numbers and so many identities.

    Its forward takes embeddings (n, size), L2-normalized, and identities (n,), and gives the mean loss of the faces
    that have one. What it keeps from step to step is all in its state dict.
    """
    scale = settings.scale
    match settings.loss:
        case "arcface":
            return ArcFaceLoss(size, identities, margin=settings.arcface.margin, scale=scale)
        case "cosface":
            return CombinedMarginLoss(size, identities, scale=scale, cosine=settings.cosface.margin)
        case "sphereface":
            return CombinedMarginLoss(size, identities, scale=scale, multiplicative=settings.sphereface.margin)
        case "combined":
            return CombinedMarginLoss(size, identities, scale=scale, **settings.combined.model_dump())
        case "normalized":
            return CombinedMarginLoss(size, identities, scale=scale)
        case "softmax":
            return SoftmaxLoss(size, identities)
        case "triplet":
            return TripletLoss(settings.triplet.margin)
        case "center":
            return SoftmaxCenterLoss(size, identities, **settings.center.model_dump())
        case "oim":
            return OIMLoss(size, identities, **settings.oim.model_dump())
