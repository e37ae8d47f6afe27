"""Synchronized batch normalization on the CPU, where torch.nn.SyncBatchNorm needs a GPU."""

import torch
from torch import Tensor, nn

from onelook.distributed import all_reduce_count, all_reduce_sum


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm (Ioffe and Szegedy, ICML 2015, algorithm 1) with the statistics of the batch of all processes.

    The input is (n, c, ...); n may be 0 in some processes.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (n, c, ...), with running statistics in evaluation mode."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.dim())]
        count = all_reduce_count(input.numel() / input.shape[1])
        mean = all_reduce_sum(input.sum(axes)) / count
        offsets = input - mean.view(shape)
        variance = all_reduce_sum(offsets.square().sum(axes)) / count
        self._update_running_statistics(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return offsets * scale.view(shape) + self.bias.view(shape)

    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


def convert_sync_batch_norm(network: nn.Module) -> None:
    """Replace the batch norms of a network by `SyncBatchNorm`, with their parameters and statistics."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                synced = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
                synced.weight, synced.bias = norm.weight, norm.bias
                for buffer, value in norm.named_buffers():
                    setattr(synced, buffer, value)
                synced.train(norm.training)
                setattr(parent, name, synced)
