import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.model.fast_sampling import Levels, bilinear


def cases(seed: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Maps of any size, grids that lie partly or wholly outside them, and the maps they lie in."""
    generator = torch.Generator().manual_seed(seed)
    count, height, width, faces = (int(x) for x in torch.randint(1, 6, (4,), generator=generator))
    x = torch.randn(count, 3, height, width, generator=generator)
    grids = torch.rand(faces, 4, 5, 2, generator=generator) * 4 * (max(height, width) + 4) - 8
    return x, grids, torch.randint(0, count, (faces,), generator=generator).sort().values.numpy()


@given(st.integers(0, 2**31))
def test_samples_and_their_gradients_are_those_of_grid_sample(seed: int) -> None:
    x, grids, owners = cases(seed)
    x.requires_grad_()
    grids.requires_grad_()
    size = torch.tensor([x.shape[-1], x.shape[-2]]) * 4
    theirs = torch.nn.functional.grid_sample(x[owners], grids * 2 / size - 1, align_corners=False)
    (ours,) = bilinear([Levels([x.to(memory_format=torch.channels_last)], [4], [len(owners)])], grids, owners)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(seed))
    gradients = [torch.autograd.grad((each * direction).sum(), (x, grids)) for each in (ours, theirs)]
    for own, twin in zip(*gradients, strict=True):
        torch.testing.assert_close(own, twin, rtol=1e-3, atol=1e-4)


@given(st.integers(0, 2**31))
def test_samples_at_points_of_numpy_are_those_at_points_of_torch(seed: int) -> None:
    x, grids, owners = cases(seed)
    levels = [Levels([x], [4], [len(owners)])]
    (ours,), (theirs,) = bilinear(levels, grids.numpy(), owners), bilinear(levels, grids, owners)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grids", [torch.zeros(0, 7, 7, 2), np.zeros((0, 7, 7, 2), np.float32)], ids=type)
def test_no_faces_give_no_samples(grids: torch.Tensor | np.ndarray) -> None:
    nobody = np.zeros(0, np.int64)
    (sampled,) = bilinear([Levels([torch.zeros(2, 3, 5, 5)], [4], [0])], grids, nobody)
    assert sampled.shape == (0, 3, 7, 7)


@given(st.integers(0, 2**31))
def test_each_face_reads_the_level_chosen_for_it_of_each_map(seed: int) -> None:
    x, grids, owners = cases(seed)
    smaller = torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True)
    chosen = np.sort(np.random.default_rng(seed).integers(0, 2, len(grids)))
    counts = np.bincount(chosen, minlength=2).tolist()
    maps = [Levels([x, smaller], [4, 8], counts), Levels([smaller.repeat(1, 2, 1, 1)], [8], [len(grids)])]
    first, second = bilinear(maps, grids, owners)
    for face, level in enumerate(chosen.tolist()):
        rows = slice(face, face + 1)
        (alone,) = bilinear([Levels([[x, smaller][level]], [[4, 8][level]], [1])], grids[rows], owners[rows])
        torch.testing.assert_close(first[rows], alone, rtol=0, atol=0)
        (alone,) = bilinear([Levels([smaller], [8], [1])], grids[rows], owners[rows])
        torch.testing.assert_close(second[rows], alone.repeat(1, 2, 1, 1), rtol=0, atol=0)
