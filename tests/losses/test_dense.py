import pytest
import torch

from onelook.losses.dense import pixel_loss


def test_two_faces_by_hand() -> None:
    """Face 0 has two pixels that differ by .3 and .6 in three channels, face 1 one pixel by .1 in one channel."""
    rendered, target = torch.zeros(2, 2, 2, 3), torch.zeros(2, 2, 2, 3)
    mask = torch.tensor([[[True, True], [False, False]], [[True, False], [False, False]]])
    rendered[0, 0, 0], rendered[0, 0, 1] = 0.3, -0.6
    rendered[1, 0, 0, 2] = 0.1
    target[0, 1] = 9.0  # outside the mask
    assert pixel_loss(rendered, mask, target).item() == pytest.approx(((0.9 + 1.8) / 2 + 0.1) / 2)


def test_faces_without_a_rendered_pixel_are_left_out() -> None:
    rendered = torch.rand(2, 2, 2, 3, requires_grad=True)
    mask = torch.tensor([True, False])[:, None, None].expand(2, 2, 2)
    target = torch.rand(2, 2, 2, 3)
    torch.testing.assert_close(pixel_loss(rendered, mask, target), pixel_loss(rendered[:1], mask[:1], target[:1]))
    for loss in (
        pixel_loss(rendered, torch.zeros_like(mask), target),
        pixel_loss(rendered[:0], mask[:0], target[:0]),
    ):
        loss.backward(retain_graph=True)
        assert loss.item() == 0
    assert rendered.grad is not None and not rendered.grad.any()


def test_only_rendered_pixels_have_a_gradient() -> None:
    rendered = torch.full((1, 1, 2, 3), 0.5, requires_grad=True)
    pixel_loss(rendered, torch.tensor([[[True, False]]]), torch.zeros(1, 1, 2, 3)).backward()
    assert rendered.grad is not None and rendered.grad[0, 0].tolist() == [[1, 1, 1], [0, 0, 0]]
