"""MTCNN's networks have the layers of the paper, and slide over an image as over its windows."""

import pytest
import torch

from onelook.model.mtcnn import CELL_STRIDE, WINDOW_SIZES, Mtcnn, WindowNetwork

# Weights and biases of the layers in figure 2 of the paper, slopes of the PReLUs, and 16 outputs.
PARAMETERS = {
    12: (27 * 10 + 2 * 10) + (90 * 16 + 2 * 16) + (144 * 32 + 2 * 32) + 33 * 16,
    24: (27 * 28 + 2 * 28) + (252 * 48 + 2 * 48) + (192 * 64 + 2 * 64) + (576 * 128 + 2 * 128) + 129 * 16,
    48: (27 * 32 + 2 * 32)
    + (288 * 64 + 2 * 64)
    + (576 * 64 + 2 * 64)
    + (256 * 128 + 2 * 128)
    + (1152 * 256 + 2 * 256)
    + 257 * 16,
}


@pytest.mark.parametrize("size", WINDOW_SIZES)
def test_a_window_has_one_cell_and_the_layers_have_the_published_parameters(size: int) -> None:
    network = WindowNetwork(size)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[size]
    shapes = [tuple(each.shape) for each in network(torch.zeros(3, 3, size, size))]
    assert shapes == [(3, 2, 1, 1), (3, 4, 1, 1), (3, 10, 1, 1)]


def test_pnet_slides_over_an_image() -> None:
    torch.manual_seed(0)
    network = Mtcnn().networks[0]
    image = torch.rand(1, 3, 30, 26) * 255
    output = network(image)
    for row, column in ((0, 0), (3, 5), (9, 7)):
        y, x = CELL_STRIDE * row, CELL_STRIDE * column
        window = network(image[..., y : y + 12, x : x + 12])
        for whole, single in zip(output, window, strict=True):
            torch.testing.assert_close(whole[..., row, column], single[..., 0, 0])
