"""Triplets: two photos of a person closer to each other than to anyone else's (FaceNet, Schroff et al., CVPR 2015)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.losses.identity_labels import NO_IDENTITY, select_labeled
from onelook.losses.margin import SoftmaxLoss


def triplet_loss(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Mean of |a - p|^2 - |a - n|^2 + margin over the mined triplets (section 3.1), 0 if there is none.

    Section 3.2: every pair of anchor and positive in the batch takes part, with its hardest semi-hard negative: the
    nearest of those further from the anchor than the positive, but by less than the margin. Pairs without
    one are left out, as are faces of `NO_IDENTITY`.

    Args:
        embeddings: (n, size), L2-normalized.
        identities: (n,).
        margin: in squared distance, of which the largest on the sphere is 4.
    """
    faces, truth = select_labeled(embeddings, identities)
    if len(truth) == 0:
        return faces.sum()
    # On the sphere |a - b|^2 = 2 - 2 a.b, which has no square root to lose its gradient in.
    distances = 2 - 2 * faces @ faces.T
    same = truth[:, None] == truth
    anchors, positives = (same & ~torch.eye(len(truth), dtype=torch.bool, device=same.device)).nonzero(as_tuple=True)
    near = distances[anchors, positives]
    gaps = distances[anchors] - near[:, None]
    semi_hard = ~same[anchors] & (gaps > 0) & (gaps < margin)
    mined = semi_hard.any(1)
    hardest = gaps[mined].masked_fill(~semi_hard[mined], torch.inf).amin(1)
    return (margin - hardest).sum() / max(1, len(hardest))


class TripletLoss(nn.Module):
    """`triplet_loss` with its margin; it learns nothing of its own."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """As `triplet_loss`."""
        return triplet_loss(embeddings, identities, self.margin)


class CenterLoss(nn.Module):
    """Half the squared distance of an embedding to the center of its class (equation 2), as a mean over the faces.

    The mean in place of the sum keeps the weight against a mean softmax the paper's lambda (equation 5) at any batch.
    The centers are no parameters: in training mode each call moves those of its classes by the paper's update
    (equations 3 and 4), after the loss was taken. They start at 0.
    """

    centers: Tensor

    def __init__(self, size: int, identities: int, *, rate: float) -> None:
        """`rate`: the paper's alpha, from 0 (centers stay) to 1."""
        super().__init__()
        self.rate = rate
        self.register_buffer("centers", torch.zeros(identities, size))

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size) whose identities (n,) are known, 0 if none is."""
        faces, truth = select_labeled(embeddings, identities)
        offsets = faces - self.centers[truth]
        if self.training:
            self._move(offsets.detach(), truth)
        return offsets.square().sum() / 2 / max(1, len(truth))

    def _move(self, offsets: Tensor, truth: Tensor) -> None:
        members = functional.one_hot(truth, len(self.centers)).to(offsets.dtype)
        self.centers += self.rate * (members.T @ offsets) / (1 + members.sum(0))[:, None]


class SoftmaxCenterLoss(nn.Module):
    """Softmax and `weight` times the center loss (equation 5): the first parts people, the second gathers each."""

    def __init__(self, size: int, identities: int, *, weight: float, rate: float) -> None:
        """`rate`: of the centers, as in `CenterLoss`."""
        super().__init__()
        self.weight = weight
        self.softmax = SoftmaxLoss(size, identities)
        self.center = CenterLoss(size, identities, rate=rate)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size) whose identities (n,) are known, 0 if none is."""
        loss: Tensor = self.softmax(embeddings, identities) + self.weight * self.center(embeddings, identities)
        return loss


class OIMLoss(nn.Module):
    """Softmax over cos / temperature to a look-up table of the identities and a queue of unlabeled faces (equation 1).

    Nothing here is a parameter. In training mode each call, after the loss was taken, moves the table's entries of its
    faces, one face after the other, to momentum * entry + (1 - momentum) * embedding at length 1, and pushes its
    unlabeled embeddings over the oldest of the queue. Table, queue and the queue's place are in the state dict.

    The table starts at 0, so an identity not seen yet has the cosine 0, as in the public code; places of the queue not
    filled yet are left out, where the public code gives them the cosine 0 as well.
    """

    table: Tensor
    queue: Tensor
    pushed: Tensor

    def __init__(self, size: int, identities: int, *, queue: int, momentum: float, temperature: float) -> None:
        """`queue`: places for unlabeled faces, 1 or more."""
        super().__init__()
        self.momentum = momentum
        self.temperature = temperature
        self.register_buffer("table", torch.zeros(identities, size))
        self.register_buffer("queue", torch.zeros(queue, size))
        self.register_buffer("pushed", torch.tensor(0))

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size), L2-normalized, whose identities (n,) are known, 0 if none is."""
        faces, truth = select_labeled(embeddings, identities)
        # The copy is what backward needs: the entries as they were.
        entries = torch.cat([self.table, self.queue[: int(self.pushed)]])
        if self.training:
            self._match(faces.detach(), truth)
            self._push(embeddings[identities == NO_IDENTITY].detach().float())
        if len(truth) == 0:
            return faces.sum()
        return functional.cross_entropy(faces @ entries.T / self.temperature, truth)

    def _match(self, faces: Tensor, truth: Tensor) -> None:
        for face, identity in zip(faces, truth, strict=True):
            moved = self.momentum * self.table[identity] + (1 - self.momentum) * face
            self.table[identity] = functional.normalize(moved, dim=0)

    def _push(self, faces: Tensor) -> None:
        places = len(self.queue)
        order = torch.arange(len(faces), device=faces.device) + self.pushed
        # Of more faces than places only the last stay: writing one place twice has no defined order.
        self.queue[order[-places:] % places] = faces[-places:]
        self.pushed += len(faces)
