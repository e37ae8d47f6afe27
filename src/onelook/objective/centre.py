"""Centre loss: each embedding is drawn to the mean of its class (Wen et al., ECCV 2016)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.objective.identities import with_identity
from onelook.objective.softmax import Softmax


class CentreLoss(nn.Module):
    """Half the squared distance of an embedding to the centre of its class (equation 2), as a mean over the faces.

    The mean in place of the sum keeps the weight against a mean softmax the paper's lambda (equation 5) at any batch.
    The centres are no parameters: in training mode each call moves those of its classes by the paper's update
    (equations 3 and 4), after the loss was taken. They start at 0.
    """

    centres: Tensor

    def __init__(self, size: int, identities: int, *, rate: float) -> None:
        """`rate`: the paper's alpha, from 0 (centres stay) to 1."""
        super().__init__()
        self.rate = rate
        self.register_buffer("centres", torch.zeros(identities, size))

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size) whose identities (n,) are known, 0 if none is."""
        faces, truth = with_identity(embeddings, identities)
        offsets = faces - self.centres[truth]
        if self.training:
            self._move(offsets.detach(), truth)
        return offsets.square().sum() / 2 / max(1, len(truth))

    def _move(self, offsets: Tensor, truth: Tensor) -> None:
        members = functional.one_hot(truth, len(self.centres)).to(offsets.dtype)
        self.centres += self.rate * (members.T @ offsets) / (1 + members.sum(0))[:, None]


class SoftmaxWithCentres(nn.Module):
    """Softmax and `weight` times the centre loss (equation 5): the first parts people, the second gathers each."""

    def __init__(self, size: int, identities: int, *, weight: float, rate: float) -> None:
        """`rate`: of the centres, as in `CentreLoss`."""
        super().__init__()
        self.weight = weight
        self.softmax = Softmax(size, identities)
        self.centre = CentreLoss(size, identities, rate=rate)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size) whose identities (n,) are known, 0 if none is."""
        loss: Tensor = self.softmax(embeddings, identities) + self.weight * self.centre(embeddings, identities)
        return loss
