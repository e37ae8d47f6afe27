"""Locally shared convolution and scaled pooling (Sun, Wang and Tang 2013, section 4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class LocallySharedConv2d(nn.Module):
    """Convolution whose weights are shared only within each of p x q equal regions of its output.

    A face has a fixed layout, so eyes and mouth need other filters. With p = q = 1 it is a plain convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, regions: tuple[int, int]) -> None:
        """Initialize the weights as those of `nn.Conv2d`.

        Args:
            inputs, outputs: numbers of channels.
            kernel: side of the square kernel.
            regions: p and q, the rows and columns of regions; they divide the height and width of the output.
        """
        super().__init__()
        self.outputs, self.kernel, self.regions = outputs, kernel, regions
        self.weight = nn.Parameter(torch.empty(regions[0] * regions[1] * outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(regions[0] * regions[1] * outputs))
        bound = (inputs * kernel**2) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps (n, inputs, h, w) to (n, outputs, h - kernel + 1, w - kernel + 1)."""
        p, q = self.regions
        overlap = self.kernel - 1
        height, width = ((size - overlap) // parts for size, parts in zip(x.shape[2:], self.regions, strict=True))
        # Each region sees its own window of the input; a grouped convolution computes all regions at once.
        windows = x.unfold(2, height + overlap, height).unfold(3, width + overlap, width)  # (n, inputs, p, q, h, w)
        grouped = windows.permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
        maps = functional.conv2d(grouped, self.weight, self.bias, groups=p * q)
        maps = maps.unflatten(1, (p, q, self.outputs)).permute(0, 3, 1, 4, 2, 5)  # (n, outputs, p, h, q, w)
        return maps.reshape(len(x), self.outputs, p * height, q * width)


class ScaledMaxPool2d(nn.Module):
    """Max pooling without overlap, then tanh of the maxima with a learned gain and bias for each channel."""

    def __init__(self, channels: int, size: int = 2) -> None:
        """Start with gain 1 and bias 0.

        Args:
            channels: of the maps.
            size: side of a cell.
        """
        super().__init__()
        self.size = size
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Pool maps (n, channels, h, w); a last, incomplete cell is dropped."""
        return torch.tanh(self.gain * functional.max_pool2d(x, self.size) + self.bias)
