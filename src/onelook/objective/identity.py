"""The identity losses by the name the settings give them."""

from torch import nn

from onelook.objective.centre import SoftmaxWithCentres
from onelook.objective.margin import ArcFace, MarginSoftmax
from onelook.objective.oim import OnlineInstanceMatching
from onelook.objective.softmax import Softmax
from onelook.objective.triplet import Triplets
from onelook.settings import Identity


def identity_loss(settings: Identity, size: int, identities: int) -> nn.Module:
    """The loss that `settings.loss` names, for embeddings of `size` numbers and so many identities.

    Its forward takes embeddings (n, size), L2-normalised, and identities (n,), and gives the mean loss of the faces
    that have one. What it keeps from step to step is all in its state dict.
    """
    scale = settings.scale
    match settings.loss:
        case "arcface":
            return ArcFace(size, identities, margin=settings.arcface.margin, scale=scale)
        case "cosface":
            return MarginSoftmax(size, identities, scale=scale, cosine=settings.cosface.margin)
        case "sphereface":
            return MarginSoftmax(size, identities, scale=scale, multiplicative=settings.sphereface.margin)
        case "combined":
            return MarginSoftmax(size, identities, scale=scale, **settings.combined.model_dump())
        case "normalised":
            return MarginSoftmax(size, identities, scale=scale)
        case "softmax":
            return Softmax(size, identities)
        case "triplet":
            return Triplets(settings.triplet.margin)
        case "centre":
            return SoftmaxWithCentres(size, identities, **settings.centre.model_dump())
        case "oim":
            return OnlineInstanceMatching(size, identities, **settings.oim.model_dump())
