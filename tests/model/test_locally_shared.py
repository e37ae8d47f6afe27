"""Locally shared convolution against its definition, with loops over every output."""

import numpy as np
import torch

from onelook.model.locally_shared import LocallySharedConv2d, ScaledMaxPool2d


def convolve_by_definition(x: np.ndarray, layer: LocallySharedConv2d) -> np.ndarray:
    """Compute the sum of equation 1 of Sun et al. 2013 for every output, before the tanh."""
    (p, q), s = layer.regions, layer.kernel
    weight = layer.weight.detach().numpy().reshape(p, q, layer.outputs, x.shape[1], s, s)
    bias = layer.bias.detach().numpy().reshape(p, q, layer.outputs)
    height, width = x.shape[2] - s + 1, x.shape[3] - s + 1
    out = np.zeros((len(x), layer.outputs, height, width))
    for n, t, i, j in np.ndindex(out.shape):
        u, v = i // (height // p), j // (width // q)
        window = x[n, :, i : i + s, j : j + s]
        out[n, t, i, j] = (window * weight[u, v, t]).sum() + bias[u, v, t]
    return out


def test_each_region_has_weights_of_its_own() -> None:
    torch.manual_seed(0)
    layer = LocallySharedConv2d(2, 3, 3, (2, 3))
    x = torch.randn(2, 2, 6, 8)
    expected = torch.from_numpy(convolve_by_definition(x.numpy(), layer)).float()
    torch.testing.assert_close(layer(x), expected)


def test_one_region_is_a_plain_convolution() -> None:
    torch.manual_seed(0)
    layer = LocallySharedConv2d(2, 3, 4, (1, 1))
    x = torch.randn(2, 2, 9, 7)
    torch.testing.assert_close(layer(x), torch.nn.functional.conv2d(x, layer.weight, layer.bias))


def test_pooling_scales_the_maxima() -> None:
    pool = ScaledMaxPool2d(1)
    with torch.no_grad():
        pool.gain.fill_(2)
        pool.bias.fill_(-1)
    x = torch.tensor([[[[0.1, 0.7, 9.0], [0.2, 0.3, 9.0]]]])
    torch.testing.assert_close(pool(x), torch.tensor([[[[2 * 0.7 - 1]]]]).tanh())
