"""Loss of FacePoseNet."""

from torch import Tensor


def pose_loss(predicted: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean squared distance of standardized poses (n, 6) (Chang et al., arXiv 1708.07517, an L2 loss)."""
    return (predicted - labels).square().sum(-1).mean()
