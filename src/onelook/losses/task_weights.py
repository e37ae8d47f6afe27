"""Weighting of the task losses: fixed weights, or weights learned from the uncertainty of each task."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from onelook.settings import TaskWeightSettings


class TaskWeights(nn.Module):
    """The weighted sum of the task losses.

    - fixed: the sum of w_i L_i.
    - learned: the sum of exp(-s_i) L_i + s_i. The log variance s_i of the task is a parameter, initialized with
      -log w_i (Kendall et al., CVPR 2018, equation 10, up to the factor 1/2).

    A task of weight 0 is left out of both.
    """

    def __init__(self, weights: TaskWeightSettings, weighting: Literal["fixed", "learned"]) -> None:
        super().__init__()
        self.names = tuple(name for name, weight in weights.model_dump().items() if weight > 0)
        self.learned = weighting == "learned"
        initial = -torch.tensor([float(getattr(weights, name)) for name in self.names]).log()
        self.log_variance = nn.Parameter(initial, requires_grad=self.learned)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Compute the weighted sum of scalar losses.

        Args:
            losses: by the name of their weight; tasks that are not trained may be absent.

        Returns:
            A scalar; 0 without a gradient where no task has a loss, as in a batch without a face for recognition alone.
        """
        rows = [row for row, name in enumerate(self.names) if name in losses]
        if not rows:
            return self.log_variance.new_zeros(())
        stacked = torch.stack([losses[self.names[row]] for row in rows])
        log_variance = torch.stack([self.log_variance[row] for row in rows])
        total = (torch.exp(-log_variance) * stacked).sum()
        return total + log_variance.sum() if self.learned else total

    def weights(self) -> dict[str, float]:
        """Return the current weight of each task."""
        return dict(zip(self.names, torch.exp(-self.log_variance.detach()).tolist(), strict=True))
