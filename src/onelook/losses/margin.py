"""Identity learned as angles on a sphere, with a margin: one family from the normalized softmax to ArcFace."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.distributed import all_reduce_max, all_reduce_sum, shard, world_size
from onelook.losses.identity_labels import NO_IDENTITY, select_labeled


def distributed_cross_entropy(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mean over n faces of -log softmax at the true class, the same in all processes.

    An et al., Partial FC (ICCV workshops 2021): processes tell each other a face's largest logit, the sum
    of its exponentials and the true one, three numbers however many classes there are.

    Args:
        logits: (n, k), of this process's classes; it may have none.
        rows: (m,), the faces whose true class is among them, all n where one process has all classes.
        columns: (m,), which of them that is.
    """
    if world_size() == 1:
        return functional.cross_entropy(logits, columns)
    true = all_reduce_sum(logits.new_zeros(len(logits)).index_put((rows,), logits[rows, columns]))
    largest = all_reduce_max(torch.cat([logits, true[:, None]], dim=1).amax(1))
    total = all_reduce_sum((logits - largest[:, None]).exp().sum(1))
    return (total.log() + largest - true).mean()


class CombinedMarginLoss(nn.Module):
    """Softmax over s * cos(theta_j), where the true class has s * (cos(m1 theta + m2) - m3) instead.

    Deng et al., CVPR 2019, equation 4. m1 is `multiplicative`, m2 `angular` (in radians), m3 `cosine`:
    none of them is the normalized softmax (Wang et al., NormFace, ACM MM 2017), m1 alone SphereFace (Liu et al.,
    CVPR 2017, equation 7, here with embeddings of length s), m2 alone ArcFace (equation 3), m3 alone CosFace (Wang et
    al., CVPR 2018, equation 4).

    Where m1 theta + m2 passes pi and its cosine would rise again, the logit goes on falling. With m1 = 1 it goes on as
    cos theta - m2 sin m2 (ArcFace's public code), otherwise as (-1)^k cos(m1 theta + m2) - 2k with k whole turns of pi
    (SphereFace's psi, equation 7).

    The identities are split among processes that train together, each of which has and learns the centers of its own
    (An et al., Partial FC, ICCV workshops 2021). All are asked about the same faces. Their losses are the
    same, and the gradients of embeddings are those that `gathered` sums up.

    Attributes:
        identities: how many there are.
        held: the identities whose centers are here, as numbers.
        centers: (k, size), a row each.
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
        self.identities = identities
        self.held = shard(identities)
        whole = nn.init.normal_(torch.empty(identities, size), std=0.01)
        self.centers = nn.Parameter(whole[self.held.start : self.held.stop].clone())
        # Every process has the whole loss: backward sums them up, where other gradients are a mean.
        self.centers.register_hook(lambda gradient: gradient / world_size())

    def forward(self, embeddings: Tensor, identities: Tensor, classes: Tensor | None = None) -> Tensor:
        """Mean loss of embeddings (n, size), L2-normalized, whose identities (n,) are known.

        Faces without an identity never reach the classifier; without any other face the loss is 0. The softmax is over
        `classes`, in rising order and those of the faces among them; over all without.
        """
        faces, truth = select_labeled(embeddings, identities)
        if len(truth) == 0:
            return faces.sum()
        centers: Tensor = self.centers
        here = torch.arange(self.held.start, self.held.stop)
        if classes is not None:
            here = classes[(classes >= self.held.start) & (classes < self.held.stop)]
            centers = centers[here - self.held.start]
        cosines = faces @ functional.normalize(centers.float()).T
        rows = ((truth >= self.held.start) & (truth < self.held.stop)).nonzero()[:, 0]
        columns = torch.searchsorted(here, truth[rows])
        own = self._with_margin(cosines[rows, columns])
        return distributed_cross_entropy(cosines.index_put((rows, columns), own) * self.scale, rows, columns)

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


class ArcFaceLoss(CombinedMarginLoss):
    """The margin added to the angle alone (Deng et al., CVPR 2019, equation 3)."""

    def __init__(self, size: int, identities: int, *, margin: float, scale: float) -> None:
        super().__init__(size, identities, scale=scale, angular=margin)


class SoftmaxLoss(nn.Module):
    """Cross-entropy of W x + b, with weights of any length and a bias (Deng et al., CVPR 2019, equation 1)."""

    def __init__(self, size: int, identities: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(size, identities)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size), of any length, whose identities (n,) are known; 0 if none is."""
        faces, truth = select_labeled(embeddings, identities)
        if len(truth) == 0:
            return faces.sum()
        return functional.cross_entropy(self.classifier(faces), truth)


def sample_classes(identities: Tensor, count: int, shard: float, rng: np.random.Generator) -> Tensor:
    """The identities of the faces, and others drawn to make up a share of all.

    An et al., Partial FC (ICCV workshops 2021): a tenth of the negatives teaches about as well as all. It
    is drawn from all identities at once, for any number of processes to draw the same.

    Args:
        identities: (n,) of the faces of all processes, `NO_IDENTITY` among them.
        count: of all identities.
        share: above 0, to 1. Where the faces have more identities than that, it is theirs alone.
        rng: the same in all processes that train together.

    Returns:
        (k,) int64, rising.
    """
    present = identities[identities != NO_IDENTITY].unique().numpy()
    ranks = rng.random(count, np.float32)
    ranks[present] = -1
    wanted = max(len(present), round(shard * count))
    if wanted == count:
        return torch.arange(count)
    drawn = np.argpartition(ranks, wanted)[:wanted]
    return torch.from_numpy(np.sort(drawn))
