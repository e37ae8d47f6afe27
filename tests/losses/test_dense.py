import pytest
import torch

from onelook.losses.dense import pixel_loss


def test_two_faces_by_hand() -> None:
    """The first shows two pixels that are .3 and .6 off in three colors, the second one that is .1 off in one."""
    rendered, real = torch.zeros(2, 2, 2, 3), torch.zeros(2, 2, 2, 3)
    mask = torch.tensor([[[True, True], [False, False]], [[True, False], [False, False]]])
    rendered[0, 0, 0], rendered[0, 0, 1] = 0.3, -0.6
    rendered[1, 0, 0, 2] = 0.1
    real[0, 1] = 9.0  # where nothing is rendered
    assert pixel_loss(rendered, mask, real).item() == pytest.approx(((0.9 + 1.8) / 2 + 0.1) / 2)


def test_faces_of_which_nothing_shows_are_left_out_and_none_at_all_cost_nothing() -> None:
    rendered = torch.rand(2, 2, 2, 3, requires_grad=True)
    mask = torch.tensor([True, False])[:, None, None].expand(2, 2, 2)
    real = torch.rand(2, 2, 2, 3)
    torch.testing.assert_close(pixel_loss(rendered, mask, real), pixel_loss(rendered[:1], mask[:1], real[:1]))
    for nothing in (
        pixel_loss(rendered, torch.zeros_like(mask), real),
        pixel_loss(rendered[:0], mask[:0], real[:0]),
    ):
        nothing.backward(retain_graph=True)
        assert nothing.item() == 0
    assert rendered.grad is not None and not rendered.grad.any()


def test_the_gradient_goes_to_what_is_rendered_alone() -> None:
    rendered = torch.full((1, 1, 2, 3), 0.5, requires_grad=True)
    pixel_loss(rendered, torch.tensor([[[True, False]]]), torch.zeros(1, 1, 2, 3)).backward()
    assert rendered.grad is not None and rendered.grad[0, 0].tolist() == [[1, 1, 1], [0, 0, 0]]
