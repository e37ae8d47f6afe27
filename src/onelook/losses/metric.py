"""Metric losses of identity: triplet (FaceNet), center loss and online instance matching (OIM).

- Triplet: Schroff et al., FaceNet, CVPR 2015.
- Center: Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016.
- OIM: Xiao et al., Joint Detection and Identification Feature Learning for Person Search, CVPR 2017.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.device import to_device
from onelook.losses.margin import NO_IDENTITY, SoftmaxLoss, select_labeled
from onelook.precision import to_float32


def triplet_loss(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Compute the triplet loss of the mined triplets of a batch.

    The loss of a triplet is |a - p|^2 - |a - n|^2 + margin (FaceNet, section 3.1). Mining (section 3.2):

    - Every pair of anchor and positive takes part with its hardest semi-hard negative.
    - Semi-hard negatives are further from the anchor than the positive, but by less than the margin.
    - Pairs without one are left out, and so are faces of `NO_IDENTITY`.

    Args:
        embeddings: (n, dim), L2-normalized.
        identities: (n,) int64 on the CPU.
        margin: in squared distance, at most 4 on the sphere.

    Returns:
        A scalar, the mean over the triplets; 0 without a triplet.
    """
    faces, labels = select_labeled(embeddings, identities)
    if len(labels) == 0:
        return faces.sum()
    same = labels[:, None] == labels
    anchors, positives = (same & ~torch.eye(len(labels), dtype=torch.bool)).nonzero(as_tuple=True)
    anchors, positives, same = to_device((anchors, positives, same), faces.device)
    # On the sphere |a - b|^2 = 2 - 2 a.b, which has a finite gradient everywhere.
    distances = 2 - 2 * faces @ faces.T
    gaps = distances[anchors] - distances[anchors, positives][:, None]
    semi_hard = ~same[anchors] & (gaps > 0) & (gaps < margin)
    mined = semi_hard.any(1)
    hardest = gaps.masked_fill(~semi_hard, margin).amin(1)
    return (margin - hardest).where(mined, 0).sum() / mined.sum().clip(min=1)


class TripletLoss(nn.Module):
    """`triplet_loss` as a module, without parameters."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Compute `triplet_loss` of embeddings (n, dim) and identities (n,) on the CPU."""
        return triplet_loss(embeddings, identities, self.margin)


class CenterLoss(nn.Module):
    """Half the squared distance of an embedding to the center of its class (equation 2), as a mean over the faces.

    - The paper has a sum instead of the mean; with the mean, lambda of equation 5 does not depend on the batch size.
    - The centers are buffers, not parameters, and start at 0. In training mode each call updates the centers of its
      classes after the loss is computed (equations 3 and 4).

    Attributes:
        centers: (identities, dim).
    """

    centers: Tensor

    def __init__(self, dim: int, identities: int, *, alpha: float) -> None:
        """Initialize the centers with 0.

        Args:
            dim: of the embeddings.
            identities: number of identities.
            alpha: update rate of the centers, from 0 (fixed) to 1.
        """
        super().__init__()
        self.alpha = alpha
        self.register_buffer("centers", torch.zeros(identities, dim))

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Compute the mean loss of the labeled faces, 0 without one.

        Args:
            embeddings: (n, dim).
            identities: (n,) int64 on the CPU, `NO_IDENTITY` for unlabeled faces.
        """
        faces, labels = select_labeled(embeddings, identities)
        labels = to_device(labels, faces.device)
        offsets = faces - self.centers[labels]
        if self.training:
            self._update_centers(offsets.detach(), labels)
        return offsets.square().sum() / 2 / max(1, len(labels))

    def _update_centers(self, offsets: Tensor, labels: Tensor) -> None:
        sums = torch.zeros_like(self.centers).index_add(0, labels, offsets)
        counts = self.centers.new_zeros(len(self.centers)).index_add(0, labels, torch.ones_like(offsets[:, 0]))
        self.centers += self.alpha * sums / (1 + counts)[:, None]


class SoftmaxCenterLoss(nn.Module):
    """Softmax loss plus `weight` times the center loss (equation 5)."""

    def __init__(self, dim: int, identities: int, *, weight: float, alpha: float) -> None:
        super().__init__()
        self.weight = weight
        self.softmax = SoftmaxLoss(dim, identities)
        self.center = CenterLoss(dim, identities, alpha=alpha)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Compute the mean loss of the labeled faces, 0 without one.

        Args:
            embeddings: (n, dim).
            identities: (n,) int64 on the CPU, `NO_IDENTITY` for unlabeled faces.
        """
        loss: Tensor = self.softmax(embeddings, identities) + self.weight * self.center(embeddings, identities)
        return loss


class OIMLoss(nn.Module):
    """Online instance matching: softmax of cos / temperature over a lookup table and a queue (equation 1).

    The lookup table has an entry per identity, the circular queue holds the latest unlabeled embeddings. Both are
    buffers. In training mode each call updates them after the loss is computed:

    - Table: for one face after the other, momentum * entry + (1 - momentum) * embedding, L2-normalized.
    - Queue: unlabeled embeddings replace the oldest ones.

    The table starts at 0, so an identity without a face so far has cosine 0, as in the public code. Empty slots of the
    queue are left out of the softmax; the public code gives them cosine 0.

    Attributes:
        table: (identities, dim).
        queue: (slots, dim).
        pushed: number of embeddings pushed to the queue so far, a scalar int64.
    """

    table: Tensor
    queue: Tensor
    pushed: Tensor

    def __init__(self, dim: int, identities: int, *, queue: int, momentum: float, temperature: float) -> None:
        """Initialize an empty table and queue.

        Args:
            dim: of the embeddings.
            identities: number of identities.
            queue: number of slots for unlabeled faces, 1 or more.
            momentum: fraction of an entry that stays at an update.
            temperature: divisor of the cosines.
        """
        super().__init__()
        self.momentum = momentum
        self.temperature = temperature
        self.register_buffer("table", torch.zeros(identities, dim))
        self.register_buffer("queue", torch.zeros(queue, dim))
        self.register_buffer("pushed", torch.tensor(0))

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Compute the mean loss of the labeled faces, 0 without one.

        Args:
            embeddings: (n, dim), L2-normalized.
            identities: (n,) int64 on the CPU, `NO_IDENTITY` for unlabeled faces.
        """
        faces, labels = select_labeled(embeddings, identities)
        # The copies keep the entries of this step for backward.
        entries, num_pushed = torch.cat([self.table, self.queue]), self.pushed.clone()
        if self.training:
            self._update_table(faces.detach(), labels)
            unlabeled = (identities == NO_IDENTITY).nonzero()[:, 0]
            self._push(to_float32(embeddings.detach()[to_device(unlabeled, embeddings.device)]))
        if len(labels) == 0:
            return faces.sum()
        logits = faces @ entries.T / self.temperature
        is_empty = torch.arange(-len(self.table), len(self.queue), device=logits.device) >= num_pushed
        return functional.cross_entropy(logits.masked_fill(is_empty, -torch.inf), to_device(labels, logits.device))

    def _update_table(self, faces: Tensor, labels: Tensor) -> None:
        # The first faces of all identities at once, then the second ones.
        repeats = (labels[:, None] == labels).tril(-1).sum(1)  # earlier faces of the same identity
        for repeat in range(int(repeats.max()) + 1 if len(labels) else 0):
            rows = (repeats == repeat).nonzero()[:, 0]
            rows, own_labels = to_device((rows, labels[rows]), faces.device)
            entries = self.momentum * self.table[own_labels] + (1 - self.momentum) * faces[rows]
            self.table[own_labels] = functional.normalize(entries)

    def _push(self, faces: Tensor) -> None:
        slots = len(self.queue)
        positions = torch.arange(len(faces), device=faces.device) + self.pushed
        # Only the last faces that fit are written: the order of two writes to one slot is undefined.
        self.queue[positions[-slots:] % slots] = faces[-slots:]
        self.pushed += len(faces)
