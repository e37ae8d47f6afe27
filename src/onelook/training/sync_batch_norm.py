"""Batch normalization over the whole batch of processes that train together (PyTorch's own needs a GPU for it)."""

import torch
from torch import Tensor, nn

from onelook.distributed import all_reduce_count, all_reduce_sum


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm (Ioffe and Szegedy, ICML 2015, algorithm 1) of (n, c, ...), whose n may be 0 in some processes."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Of a vector or of a map: any shape will do."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape; in training mode with the statistics of all processes."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.dim())]
        count = all_reduce_count(input.numel() / input.shape[1])
        mean = all_reduce_sum(input.sum(axes)) / count
        offsets = input - mean.view(shape)
        variance = all_reduce_sum(offsets.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return offsets * scale.view(shape) + self.bias.view(shape)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


def convert_sync_batch_norm(network: nn.Module) -> None:
    """Put shared batch norms in the place of the network's own, with their parameters and statistics."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                shared = SharedBatchNorm(norm.num_features, norm.eps, norm.momentum)
                shared.weight, shared.bias = norm.weight, norm.bias
                for buffer, value in norm.named_buffers():
                    setattr(shared, buffer, value)
                shared.train(norm.training)
                setattr(parent, name, shared)
