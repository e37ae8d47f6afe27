"""The fast sampler against the plain one (`FeatureSampler`), and its parts against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from helpers.networks import light_model, tiny_embedding, upright_faces
from helpers.sampling import random_sampling_case
from onelook.inference.fast.sampling import FastSampler, PooledMap, sample_bilinear, use_fast_sampler
from onelook.model.feature_sampler import FeatureSampler
from onelook.model.joint_network import JointNetwork


@given(st.integers(0, 2**31), st.sampled_from(["warp", "roi", "center"]))
def test_samples_equal_the_plain_sampler(seed: int, sampling: str) -> None:
    settings, maps, landmarks = random_sampling_case(seed, sampling)
    expected, _ = FeatureSampler(settings)(maps, landmarks)
    channels_last = [x.to(memory_format=torch.channels_last) for x in maps]
    samples, order = FastSampler(settings)(channels_last, landmarks)
    for ours, reference, stride in zip(samples, expected, settings.strides, strict=True):
        # Cell coordinates and weights are rounded to the float64 of the landmarks, so nothing is lost. OpenCV warps
        # the photo's own pixels in float32.
        tolerance = 3e-3 if stride == 1 else 1e-9
        torch.testing.assert_close(ours.double(), reference[order], rtol=tolerance, atol=tolerance)


def test_use_fast_sampler_leaves_weights_and_embeddings_as_they_are() -> None:
    torch.manual_seed(0)
    network = JointNetwork(light_model(tiny_embedding(8))).eval()
    maps = network(torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8)).feature_maps
    landmarks = [upright_faces((10, 10, 60), (-5, 20, 40))]
    names, expected = list(network.state_dict()), network.embed(maps, landmarks)
    use_fast_sampler(network)
    assert isinstance(network.embedding.sampler, FastSampler) and list(network.state_dict()) == names
    torch.testing.assert_close(network.embed(maps, landmarks), expected, rtol=1e-4, atol=1e-5)


def test_use_fast_sampler_ignores_a_grid_detector() -> None:
    network = JointNetwork(light_model(tiny_embedding(8), architecture="grid"))
    use_fast_sampler(network)
    assert not any(isinstance(module, FeatureSampler) for module in network.modules())


def random_grids(seed: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Return maps of any size, grids that lie partly or wholly outside them, and the index of each grid's map."""
    generator = torch.Generator().manual_seed(seed)
    count, height, width, faces = (int(x) for x in torch.randint(1, 6, (4,), generator=generator))
    x = torch.randn(count, 3, height, width, generator=generator)
    grids = torch.rand(faces, 4, 5, 2, generator=generator) * 4 * (max(height, width) + 4) - 8
    return x, grids, torch.randint(0, count, (faces,), generator=generator).sort().values.numpy()


@given(st.integers(0, 2**31))
def test_samples_and_gradients_equal_grid_sample(seed: int) -> None:
    x, grids, images = random_grids(seed)
    x.requires_grad_()
    grids.requires_grad_()
    size = torch.tensor([x.shape[-1], x.shape[-2]]) * 4
    expected = functional.grid_sample(x[images], grids * 2 / size - 1, align_corners=False)
    pooled = PooledMap([x.to(memory_format=torch.channels_last)], [4], [len(images)])
    (samples,) = sample_bilinear([pooled], grids, images)
    torch.testing.assert_close(samples, expected, rtol=1e-4, atol=1e-5)
    direction = torch.randn(samples.shape, generator=torch.Generator().manual_seed(seed))
    gradients = [torch.autograd.grad((each * direction).sum(), (x, grids)) for each in (samples, expected)]
    for own, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-3, atol=1e-4)


@given(st.integers(0, 2**31))
def test_numpy_grids_give_the_samples_of_tensors(seed: int) -> None:
    x, grids, images = random_grids(seed)
    maps = [PooledMap([x], [4], [len(images)])]
    (of_numpy,), (of_torch,) = sample_bilinear(maps, grids.numpy(), images), sample_bilinear(maps, grids, images)
    torch.testing.assert_close(of_numpy, of_torch, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grids", [torch.zeros(0, 7, 7, 2), np.zeros((0, 7, 7, 2), np.float32)], ids=type)
def test_no_grids_give_no_samples(grids: torch.Tensor | np.ndarray) -> None:
    (samples,) = sample_bilinear([PooledMap([torch.zeros(2, 3, 5, 5)], [4], [0])], grids, np.zeros(0, np.int64))
    assert samples.shape == (0, 3, 7, 7)


@given(st.integers(0, 2**31))
def test_each_grid_reads_its_own_level_of_each_map(seed: int) -> None:
    x, grids, images = random_grids(seed)
    pooled = functional.avg_pool2d(x, 2, ceil_mode=True)
    levels = np.sort(np.random.default_rng(seed).integers(0, 2, len(grids)))
    counts = np.bincount(levels, minlength=2).tolist()
    maps = [PooledMap([x, pooled], [4, 8], counts), PooledMap([pooled.repeat(1, 2, 1, 1)], [8], [len(grids)])]
    first, second = sample_bilinear(maps, grids, images)
    for face, level in enumerate(levels.tolist()):
        rows = slice(face, face + 1)
        alone = PooledMap([[x, pooled][level]], [[4, 8][level]], [1])
        (expected,) = sample_bilinear([alone], grids[rows], images[rows])
        torch.testing.assert_close(first[rows], expected, rtol=0, atol=0)
        (expected,) = sample_bilinear([PooledMap([pooled], [8], [1])], grids[rows], images[rows])
        torch.testing.assert_close(second[rows], expected.repeat(1, 2, 1, 1), rtol=0, atol=0)
