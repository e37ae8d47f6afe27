"""How much each task counts."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from onelook.settings import TaskWeightSettings


class TaskWeights(nn.Module):
    """The weighted sum of the task losses.

    fixed: sum of w_i L_i. learned: sum of exp(-s_i) L_i + s_i, where s_i, the log variance of the task, is learned and
    starts at -log w_i (Kendall et al., CVPR 2018, equation 10, up to the factor 1/2). A task of weight 0 is in neither.
    """

    def __init__(self, weights: TaskWeightSettings, balance: Literal["fixed", "learned"]) -> None:
        super().__init__()
        self.names = tuple(name for name, weight in weights.model_dump().items() if weight > 0)
        self.learned = balance == "learned"
        start = -torch.tensor([float(getattr(weights, name)) for name in self.names]).log()
        self.log_variance = nn.Parameter(start, requires_grad=self.learned)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The total of scalar losses, keyed by the names of the weights; tasks that are not trained may be absent."""
        rows = [row for row, name in enumerate(self.names) if name in losses]
        stacked = torch.stack([losses[self.names[row]] for row in rows])
        log_variance = self.log_variance[rows]
        total = (torch.exp(-log_variance) * stacked).sum()
        return total + log_variance.sum() if self.learned else total

    def weights(self) -> dict[str, float]:
        """Each task's weight as it stands."""
        return dict(zip(self.names, torch.exp(-self.log_variance.detach()).tolist(), strict=True))
