"""Softmax losses of identity: linear softmax, and the margin family (SphereFace, CosFace, ArcFace) with Partial FC."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.device import to_device
from onelook.distributed import all_reduce_max, all_reduce_sum, shard, world_size
from onelook.precision import to_float32

NO_IDENTITY = -1
"""Identity index of an unlabeled face in a batch."""


def select_labeled(embeddings: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
    """Select the faces that have an identity.

    Args:
        embeddings: (n, dim).
        identities: (n,) int64 on the CPU, so the number of faces is known without a wait for the embeddings.

    Returns:
        Embeddings (k, dim) in float32, and identities (k,) on the CPU.
    """
    rows = (identities != NO_IDENTITY).nonzero()[:, 0]
    return to_float32(embeddings[to_device(rows, embeddings.device)]), identities[rows]


class SoftmaxLoss(nn.Module):
    """Cross-entropy of W x + b, with weights of any length and a bias (Deng et al., CVPR 2019, equation 1)."""

    def __init__(self, dim: int, identities: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dim, identities)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Compute the mean loss of the labeled faces.

        Args:
            embeddings: (n, dim), of any length.
            identities: (n,) int64 on the CPU, `NO_IDENTITY` for unlabeled faces.

        Returns:
            A scalar; 0 without a labeled face.
        """
        faces, labels = select_labeled(embeddings, identities)
        if len(labels) == 0:
            return faces.sum()
        return functional.cross_entropy(self.classifier(faces), to_device(labels, faces.device))


class CombinedMarginLoss(nn.Module):
    """Softmax over s cos(theta_j), with the true class at s (cos(m1 theta + m2) - m3).

    Deng et al., CVPR 2019, equation 4. The members of the family:

    - No margin: normalized softmax (Wang et al., NormFace, ACM MM 2017).
    - m1 alone: SphereFace (Liu et al., CVPR 2017, equation 7), here with embeddings of length s.
    - m2 alone, in radians: ArcFace (equation 3).
    - m3 alone: CosFace (Wang et al., CVPR 2018, equation 4).

    Beyond m1 theta + m2 = pi the cosine would rise again; the logit keeps falling instead:

    - m1 = 1: cos theta - m2 sin m2, as in ArcFace's public code.
    - Otherwise: (-1)^k cos(m1 theta + m2) - 2k, with k whole multiples of pi, as in SphereFace's psi (equation 7).

    In distributed training each process holds and updates the centers of its shard of the identities (An et al.,
    Partial FC, ICCV workshops 2021). All processes compute the loss of the same faces, which `all_gather` collects.

    Attributes:
        identities: number of identities.
        shard: indices of the identities whose centers this process holds.
        centers: (len(shard), dim), one row per identity.
    """

    def __init__(
        self, dim: int, identities: int, *, scale: float, m1: float = 1.0, m2: float = 0.0, m3: float = 0.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.m1 = m1
        self.m2 = m2
        self.m3 = m3
        self.identities = identities
        self.shard = shard(identities)
        # Every process draws all centers, so that they do not depend on the number of processes.
        centers = nn.init.normal_(torch.empty(identities, dim), std=0.01)
        self.centers = nn.Parameter(centers[self.shard.start : self.shard.stop].clone())
        # Backward sums the gradients of the equal losses of all processes; the other parameters have the mean.
        self.centers.register_hook(lambda gradient: gradient / world_size())

    def forward(self, embeddings: Tensor, identities: Tensor, classes: Tensor | None = None) -> Tensor:
        """Compute the mean loss of the labeled faces.

        Args:
            embeddings: (n, dim), L2-normalized.
            identities: (n,) int64 on the CPU, `NO_IDENTITY` for unlabeled faces.
            classes: (k,) int64 on the CPU, ascending: the classes of the softmax, which include those of the faces.
                None: all.

        Returns:
            A scalar; 0 without a labeled face.
        """
        faces, labels = select_labeled(embeddings, identities)
        if len(labels) == 0:
            return faces.sum()
        first, end = self.shard.start, self.shard.stop
        centers: Tensor = self.centers
        local_classes = torch.arange(first, end)
        if classes is not None:
            local_classes = classes[(classes >= first) & (classes < end)]
            centers = centers[to_device(local_classes - first, centers.device)]
        cosines = faces @ functional.normalize(to_float32(centers)).T
        # The faces whose class is in this shard, and the column of that class.
        rows = ((labels >= first) & (labels < end)).nonzero()[:, 0]
        columns = torch.searchsorted(local_classes, labels[rows])
        rows, columns = to_device((rows, columns), cosines.device)
        true_logits = self._add_margin(cosines[rows, columns])
        return distributed_cross_entropy(cosines.index_put((rows, columns), true_logits) * self.scale, rows, columns)

    def _add_margin(self, cosine: Tensor) -> Tensor:
        # The floor keeps the gradients of square root and angle finite at cos = +-1.
        sine = (1 - cosine**2).clip(min=1e-6).sqrt()
        logit = self._additive_angle(cosine, sine) if self.m1 == 1 else self._multiplicative_angle(cosine, sine)
        return logit - self.m3

    def _additive_angle(self, cosine: Tensor, sine: Tensor) -> Tensor:
        """Compute cos(theta + m2) by the angle addition formula."""
        shifted = cosine * math.cos(self.m2) - sine * math.sin(self.m2)
        beyond_pi = cosine - self.m2 * math.sin(self.m2)
        return torch.where(cosine > -math.cos(self.m2), shifted, beyond_pi)

    def _multiplicative_angle(self, cosine: Tensor, sine: Tensor) -> Tensor:
        """Compute cos(m1 theta + m2), continued downwards at every multiple of pi."""
        angle = self.m1 * torch.atan2(sine, cosine) + self.m2
        k = (angle.detach() / math.pi).floor()
        return (1 - 2 * (k % 2)) * angle.cos() - 2 * k


class ArcFaceLoss(CombinedMarginLoss):
    """ArcFace: an additive angular margin in radians (Deng et al., CVPR 2019, equation 3)."""

    def __init__(self, dim: int, identities: int, *, margin: float, scale: float) -> None:
        super().__init__(dim, identities, scale=scale, m2=margin)


def sample_classes(identities: Tensor, count: int, fraction: float, rng: np.random.Generator) -> Tensor:
    """Sample the classes of a step: those of the faces, and random negatives.

    An et al., Partial FC (ICCV workshops 2021), where a tenth of the negatives is about as accurate as all. The sample
    is drawn from all classes, so it does not depend on the number of processes.

    Args:
        identities: (n,) int64 of the faces of all processes, `NO_IDENTITY` for unlabeled ones.
        count: number of all classes.
        fraction: of the classes to sample, above 0, at most 1. The classes of the faces are always in the sample.
        rng: in the same state in every process.

    Returns:
        (k,) int64, ascending.
    """
    positives = identities[identities != NO_IDENTITY].unique().numpy()
    priorities = rng.random(count, np.float32)
    priorities[positives] = -1
    sample_size = max(len(positives), round(fraction * count))
    if sample_size == count:
        return torch.arange(count)
    sampled = np.argpartition(priorities, sample_size)[:sample_size]
    return torch.from_numpy(np.sort(sampled))


def distributed_cross_entropy(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute the mean cross-entropy of classes that are sharded over the processes.

    An et al., Partial FC (ICCV workshops 2021). Per face, the processes exchange three numbers: the largest logit, the
    sum of exponentials and the logit of the true class.

    Args:
        logits: (n, k) of the classes of this process; k may be 0.
        rows: (m,) int64, the faces whose true class is among them; with one process, all n in order.
        columns: (m,) int64, the column of the true class of each.

    Returns:
        A scalar, equal in all processes.
    """
    if world_size() == 1:
        return functional.cross_entropy(logits, columns)
    true_logits = all_reduce_sum(logits.new_zeros(len(logits)).index_put((rows,), logits[rows, columns]))
    # The true logits are equal everywhere; they stand in where a process has no class.
    maximum = all_reduce_max(torch.cat([logits, true_logits[:, None]], dim=1).amax(1))
    exponential_sum = all_reduce_sum((logits - maximum[:, None]).exp().sum(1))
    return (exponential_sum.log() + maximum - true_logits).mean()
