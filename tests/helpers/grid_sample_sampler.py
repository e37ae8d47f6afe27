"""Sampling of feature maps by `grid_sample`, face by face and pooling by pooling: the twin of `FeatureSampler`."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onelook.model.feature_sampler import FeatureSampler


def sample_by_grid_sample(sampler: FeatureSampler, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> list[Tensor]:
    """Sample maps as `sampler` does; the rows are in the order of the faces."""
    samples = []
    for index, (x, stride) in enumerate(zip(maps, sampler.strides, strict=True)):
        density = sampler.density if index == 0 else 1
        rows = [x.new_zeros(0, x.shape[1] * density**2, sampler.samples, sampler.samples)]
        for image, points in enumerate(landmarks):
            for face in points.unsqueeze(1):
                grid = sampler.grid(face, density * sampler.samples, sampler.extent, density)  # (1, s, density² s, 2)
                limit = sampler.strides[0] * 2 ** int(sampler.count_poolings(face)) * sampler.density // density
                level, level_stride = x[image : image + 1], stride
                while level_stride < limit and min(level.shape[-2:]) > 1:
                    level, level_stride = functional.avg_pool2d(level, 2, ceil_mode=True), level_stride * 2
                size = grid.new_tensor([level.shape[3] * level_stride, level.shape[2] * level_stride])
                # Pixels 0..size are -1..1 of grid_sample.
                sampled = functional.grid_sample(level, 2 * grid / size - 1, align_corners=False)
                # -> (1, c, s, s, density²) -> (1, density², c, s, s) -> (1, density² c, s, s)
                rows.append(sampled.unflatten(3, (-1, density**2)).permute(0, 4, 1, 2, 3).flatten(1, 2))
        samples.append(torch.cat(rows))
    return samples
