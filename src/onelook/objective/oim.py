"""Online instance matching: faces without a name are learned from too (Xiao et al., CVPR 2017, section 3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.objective.identities import NO_IDENTITY, with_identity


class OnlineInstanceMatching(nn.Module):
    """Softmax over cos / temperature to a look-up table of the identities and a queue of unlabelled faces (equation 1).

    Nothing here is a parameter. In training mode each call, after the loss was taken, moves the table's entries of its
    faces, one face after the other, to momentum * entry + (1 - momentum) * embedding at length 1, and pushes its
    unlabelled embeddings over the oldest of the queue. Table, queue and the queue's place are in the state dict.

    The table starts at 0, so an identity not seen yet has the cosine 0, as in the public code; places of the queue not
    filled yet are left out, where the public code gives them the cosine 0 as well.
    """

    table: Tensor
    queue: Tensor
    pushed: Tensor

    def __init__(self, size: int, identities: int, *, queue: int, momentum: float, temperature: float) -> None:
        """`queue`: places for unlabelled faces, 1 or more."""
        super().__init__()
        self.momentum = momentum
        self.temperature = temperature
        self.register_buffer("table", torch.zeros(identities, size))
        self.register_buffer("queue", torch.zeros(queue, size))
        self.register_buffer("pushed", torch.tensor(0))

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size), L2-normalised, whose identities (n,) are known, 0 if none is."""
        faces, truth = with_identity(embeddings, identities)
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
