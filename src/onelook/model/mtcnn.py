"""MTCNN (Zhang et al. 2016, arXiv 1604.02878): a cascade of three small networks that refine windows.

    images ─ pyramid ─▶ P-Net, on every window of 12 pixels ─▶ windows ─ 24 pixels ─▶ R-Net ─ 48 pixels ─▶ O-Net

Each predicts the face logits of a window, the offsets of a face's box and its five points. `inference/mtcnn_cascade.py`
runs the cascade; `model/public_mtcnn.py` reads published weights.

Differences from the paper:
    - Fully connected layers are convolutions over what is left of the window, so one class builds all three networks.
    - Pooling covers a last, incomplete cell, as in the published networks and in Caffe.

Examples:
    >>> network = Mtcnn()
    >>> network.networks[0](torch.zeros(1, 3, 100, 80)).logits.shape  # a window of 12 pixels every 2 pixels
    torch.Size([1, 2, 45, 35])
    >>> network.networks[2](torch.zeros(7, 3, 48, 48)).landmarks.shape
    torch.Size([7, 10, 1, 1])
"""

from torch import Tensor, nn

from onelook.geometry.windows import WindowOutput

# Channels, kernel and pooling of each convolution, by the side of the window; the last of R-Net and O-Net are their
# fully connected layers.
_LAYERS = {
    12: ((10, 3, 2), (16, 3, 0), (32, 3, 0)),
    24: ((28, 3, 3), (48, 3, 3), (64, 2, 0), (128, 3, 0)),
    48: ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0), (256, 3, 0)),
}
WINDOW_SIZES = tuple(_LAYERS)
"""Sides of the windows of P-Net, R-Net and O-Net, in pixels."""
CELL_STRIDE = 2
"""Distance between two windows of P-Net, in pixels."""
_PIXEL_MEAN, _PIXEL_SCALE = 127.5, 1 / 128


class WindowNetwork(nn.Module):
    """Network of windows of one size.

    Attributes:
        size: side of its window, in pixels.
    """

    def __init__(self, size: int) -> None:
        """Build the network of windows of `size` pixels: 12, 24 or 48."""
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, kernel, pooling in _LAYERS[size]:
            layers += [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]
            if pooling:
                layers.append(nn.MaxPool2d(pooling, stride=2, ceil_mode=True))
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.logits = nn.Conv2d(inputs, 2, 1)
        self.offsets = nn.Conv2d(inputs, 4, 1)
        self.landmarks = nn.Conv2d(inputs, 10, 1)

    def forward(self, images: Tensor) -> WindowOutput:
        """Predict the windows of images (n, 3, H, W), RGB in 0..255, of at least `size` pixels a side."""
        x = self.layers((images - _PIXEL_MEAN) * _PIXEL_SCALE)
        return WindowOutput(self.logits(x), self.offsets(x), self.landmarks(x))


class Mtcnn(nn.Module):
    """The three networks.

    Attributes:
        networks: P-Net, R-Net and O-Net.
    """

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleList(WindowNetwork(size) for size in WINDOW_SIZES)
