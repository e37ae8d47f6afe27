import torch

from onelook.model.retinaface import FPN


def maps(*sides: int) -> list[torch.Tensor]:
    """A map of one channel more for each side."""
    return [torch.rand(2, 4 + i, side, side + 1) for i, side in enumerate(sides)]


def test_every_map_comes_out_in_its_own_size_with_the_channels_of_the_pyramid() -> None:
    levels = FPN([4, 5, 6], 16)(maps(20, 10, 5))
    assert [tuple(level.shape) for level in levels] == [(2, 16, 20, 21), (2, 16, 10, 11), (2, 16, 5, 6)]


def test_one_more_level_is_half_the_coarsest_rounded_up_and_comes_from_the_trunk_s_map_alone() -> None:
    torch.manual_seed(0)
    pyramid = FPN([4, 5, 6], 16, extra_level=True).eval()
    given = maps(20, 10, 5)
    levels = pyramid(given)
    assert [tuple(level.shape) for level in levels[2:]] == [(2, 16, 5, 6), (2, 16, 3, 3)]
    weight = pyramid.top.conv.weight / (1 + pyramid.top.norm.eps) ** 0.5
    wanted = torch.nn.functional.conv2d(given[2], weight, stride=2, padding=1)
    torch.testing.assert_close(levels[3], torch.where(wanted > 0, wanted, wanted * 0.1), rtol=1e-4, atol=1e-5)
    # Nothing of it comes down again.
    pyramid.top = None
    for one, other in zip(levels[:3], pyramid(given), strict=True):
        torch.testing.assert_close(one, other)
