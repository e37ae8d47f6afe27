"""Identity learned as angles on a sphere, with a margin: one family from the normalised softmax to ArcFace."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.objective.identities import with_identity


class MarginSoftmax(nn.Module):
    """Softmax over s * cos(theta_j), where the true class has s * (cos(m1 theta + m2) - m3) instead.

    Deng et al., CVPR 2019, equation 4. m1 is `multiplicative`, m2 `angular` (in radians), m3 `cosine`:
    none of them is the normalised softmax (Wang et al., NormFace, ACM MM 2017), m1 alone SphereFace (Liu et al.,
    CVPR 2017, equation 7, here with embeddings of length s), m2 alone ArcFace (equation 3), m3 alone CosFace (Wang et
    al., CVPR 2018, equation 4).

    Where m1 theta + m2 passes pi and its cosine would rise again, the logit goes on falling. With m1 = 1 it goes on as
    cos theta - m2 sin m2 (ArcFace's public code), otherwise as (-1)^k cos(m1 theta + m2) - 2k with k whole turns of pi
    (SphereFace's psi, equation 7).
    """

    def __init__(
        self,
        size: int,
        identities: int,
        *,
        scale: float,
        multiplicative: float = 1.0,
        angular: float = 0.0,
        cosine: float = 0.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.multiplicative = multiplicative
        self.angular = angular
        self.cosine = cosine
        self.centres = nn.Parameter(torch.empty(identities, size))
        nn.init.normal_(self.centres, std=0.01)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size), L2-normalised, whose identities (n,) are known.

        Faces without an identity never reach the classifier; without any other face the loss is 0.
        """
        faces, truth = with_identity(embeddings, identities)
        if len(truth) == 0:
            return faces.sum()
        cosines = faces @ functional.normalize(self.centres.float()).T
        own = cosines.gather(1, truth[:, None])
        logits = cosines.scatter(1, truth[:, None], self._with_margin(own)) * self.scale
        return functional.cross_entropy(logits, truth)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        # The floor keeps the gradients of square root and angle finite at cos = +-1.
        sine = (1 - cosine**2).clip(min=1e-6).sqrt()
        enlarged = self._added(cosine, sine) if self.multiplicative == 1 else self._multiplied(cosine, sine)
        return enlarged - self.cosine

    def _added(self, cosine: Tensor, sine: Tensor) -> Tensor:
        """cos(theta + m2) without an arccos."""
        turned = cosine * math.cos(self.angular) - sine * math.sin(self.angular)
        beyond = cosine - self.angular * math.sin(self.angular)
        return torch.where(cosine > -math.cos(self.angular), turned, beyond)

    def _multiplied(self, cosine: Tensor, sine: Tensor) -> Tensor:
        """cos(m1 theta + m2), folded downwards at every multiple of pi."""
        angle = self.multiplicative * torch.atan2(sine, cosine) + self.angular
        turns = (angle.detach() / math.pi).floor()
        return (1 - 2 * (turns % 2)) * angle.cos() - 2 * turns


class ArcFace(MarginSoftmax):
    """The margin added to the angle alone (Deng et al., CVPR 2019, equation 3)."""

    def __init__(self, size: int, identities: int, *, margin: float, scale: float) -> None:
        super().__init__(size, identities, scale=scale, angular=margin)
