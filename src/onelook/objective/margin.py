"""ArcFace: identity learned as angles on a sphere, with a margin (Deng et al., CVPR 2019)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

NO_IDENTITY = -1


class ArcFace(nn.Module):
    """Softmax over s * cos(theta_j), with the true class's angle enlarged by m (equation 3).

    cos(theta + m) is written out as cos theta cos m - sin theta sin m, so no arccos and no infinite gradient; beyond
    theta = pi - m, where it would rise again, it goes on as cos theta - m sin m (the public code's continuation).
    """

    def __init__(self, size: int, identities: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.centres = nn.Parameter(torch.empty(identities, size))
        nn.init.normal_(self.centres, std=0.01)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size), L2-normalised, whose identities (n,) are known.

        Faces of `NO_IDENTITY` never reach the classifier; without any other face the loss is 0.
        """
        known = identities != NO_IDENTITY
        if not known.any():
            return embeddings.sum() * 0
        cosines = embeddings[known].float() @ functional.normalize(self.centres.float()).T
        truth = identities[known]
        own = cosines.gather(1, truth[:, None])
        logits = cosines.scatter(1, truth[:, None], self._with_margin(own)) * self.scale
        return functional.cross_entropy(logits, truth)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        # The floor keeps the square root's gradient finite at cos = +-1.
        sine = (1 - cosine**2).clip(min=1e-6).sqrt()
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(self.margin)
        return torch.where(cosine > -math.cos(self.margin), turned, beyond)
