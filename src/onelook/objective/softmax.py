"""Softmax over learned classes with no margin and no sphere: what the margins are measured against."""

from torch import Tensor, nn
from torch.nn import functional

from onelook.objective.identities import with_identity


class Softmax(nn.Module):
    """Cross-entropy of W x + b, with weights of any length and a bias (Deng et al., CVPR 2019, equation 1)."""

    def __init__(self, size: int, identities: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(size, identities)

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Mean loss of embeddings (n, size), of any length, whose identities (n,) are known; 0 if none is."""
        faces, truth = with_identity(embeddings, identities)
        if len(truth) == 0:
            return faces.sum()
        return functional.cross_entropy(self.classifier(faces), truth)
