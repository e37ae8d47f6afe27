"""The sampler of feature maps against its twin by `grid_sample`."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.grid_sample_sampler import sample_by_grid_sample
from helpers.sampling import random_sampling_case
from onelook.model.feature_sampler import AvgPool, FeatureSampler


@given(st.integers(0, 2**31), st.sampled_from(["warp", "roi", "center"]))
def test_samples_and_gradients_equal_grid_sample_in_float64(seed: int, sampling: str) -> None:
    settings, maps, landmarks = random_sampling_case(seed, sampling)
    sampler = FeatureSampler(settings)
    leaves = [each.requires_grad_() for each in (*maps, *landmarks)]
    samples, order = sampler(leaves[: len(maps)], leaves[len(maps) :])
    expected = sample_by_grid_sample(sampler, leaves[: len(maps)], leaves[len(maps) :])
    assert order is None
    torch.testing.assert_close(samples, expected, rtol=1e-9, atol=1e-9)
    if len(samples[0]) == 0:
        return
    generator = torch.Generator().manual_seed(seed)
    directions = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in samples]
    own, reference = (
        torch.autograd.grad(each, leaves, directions, allow_unused=True, materialize_grads=True)
        for each in (samples, expected)
    )
    torch.testing.assert_close(own, reference, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 12), (5, 3)])
def test_avg_pool_averages_what_is_inside_the_map(factor: int, height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width)
    pooled = AvgPool()(x, factor)
    assert pooled.shape == (2, 3, -(-height // factor), -(-width // factor))
    for row in range(pooled.shape[2]):
        for column in range(pooled.shape[3]):
            square = x[:, :, factor * row : factor * (row + 1), factor * column : factor * (column + 1)]
            torch.testing.assert_close(pooled[:, :, row, column], square.mean((2, 3)), rtol=1e-4, atol=1e-5)
