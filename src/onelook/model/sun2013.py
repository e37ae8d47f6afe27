"""Cascade of Sun, Wang and Tang, "Deep Convolutional Network Cascade for Facial Point Detection", CVPR 2013.

| level | networks | input | estimates |
|---|---|---|---|
| 1 | F1, EN1, NM1 | 39 x 39 of the face; 31 x 39 of its upper and lower part | all points; eyes, nose; nose, mouth |
| 2 | two a point | 15 x 15 around the point, 0.32 and 0.36 of the face | its displacement |
| 3 | two a point | 15 x 15 around the point, 0.22 and 0.24 of the face | its displacement |

The estimates of a point are averaged. Convolutions are followed by the absolute value of tanh, and by pooling with a
gain and a bias; at level 1 their weights are shared within regions (`model/locally_shared.py`).

Differences from the paper:
    - The last layer is linear.
    - Each input is scaled to zero mean and unit variance.
"""

import torch
from torch import Tensor, nn

from onelook.geometry.face_squares import sample_patches, windows_around
from onelook.model.landmark_cascade import NUM_POINTS, LandmarkCascade, Level, standardize
from onelook.model.locally_shared import LocallySharedConv2d, ScaledMaxPool2d

# Channels, kernel and regions of each convolution, by the height of the input (the paper's S0, S1 and S2).
_LAYERS = {
    39: ((20, 4, (2, 2)), (40, 3, (2, 2)), (60, 3, (3, 3)), (80, 2, (2, 2))),
    31: ((20, 4, (2, 2)), (40, 3, (2, 2)), (60, 3, (2, 3)), (80, 2, (1, 2))),
    15: ((20, 4, (1, 1)), (40, 3, (1, 1))),
}
_HIDDEN = {39: 120, 31: 100, 15: 60}
_WIDTH = {39: 39, 31: 39, 15: 15}
_POOLED = 3
"""Number of convolutions with a pooling after them."""
# Window of each network of level 1, x1 y1 x2 y2 in units of the box's square, and its points.
_WINDOWS = ((-0.05, -0.05, 1.05, 1.05), (-0.05, -0.05, 1.05, 0.824), (-0.05, 0.176, 1.05, 1.05))
_POINTS = ((0, 1, 2, 3, 4), (0, 1, 2), (2, 3, 4))


class PointNetwork(nn.Module):
    """Convolutional network of one patch.

    Attributes:
        size: height and width of the patch.
    """

    def __init__(self, height: int, points: int) -> None:
        """Build S0, S1 or S2 by the height of its input: 39, 31 or 15 pixels."""
        super().__init__()
        self.size = height, _WIDTH[height]
        self.convolutions, self.poolings = nn.ModuleList(), nn.ModuleList()
        inputs, shape = 1, self.size
        for number, (outputs, kernel, regions) in enumerate(_LAYERS[height]):
            self.convolutions.append(LocallySharedConv2d(inputs, outputs, kernel, regions))
            is_pooled = number < _POOLED
            self.poolings.append(ScaledMaxPool2d(outputs) if is_pooled else nn.Identity())
            divisor = 2 if is_pooled else 1
            shape = (shape[0] - kernel + 1) // divisor, (shape[1] - kernel + 1) // divisor
            inputs = outputs
        self.hidden = nn.Linear(inputs * shape[0] * shape[1], _HIDDEN[height])
        self.output = nn.Linear(_HIDDEN[height], 2 * points)

    def forward(self, patches: Tensor) -> Tensor:
        """Compute points (n, points, 2) from patches (n, 1, h, w)."""
        x = standardize(patches)
        for convolution, pooling in zip(self.convolutions, self.poolings, strict=True):
            x = pooling(torch.tanh(convolution(x)).abs())
        return self.output(torch.tanh(self.hidden(x.flatten(1)))).unflatten(1, (-1, 2))


class FaceLevel(Level):
    """Level 1: F1, EN1 and NM1."""

    windows: Tensor

    def __init__(self) -> None:
        super().__init__([[point in own for point in range(NUM_POINTS)] for own in _POINTS])
        self.networks = nn.ModuleList(PointNetwork(39 if len(own) == NUM_POINTS else 31, len(own)) for own in _POINTS)
        self.register_buffer("windows", torch.tensor(_WINDOWS), persistent=False)

    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Compute the estimates (n, 3, 5, 2) of face images (n, 1, side, side), as distances from the points."""
        results = []
        for number, (network, own) in enumerate(zip(self.networks, _POINTS, strict=True)):
            assert isinstance(network, PointNetwork)
            window = self.windows[number].expand(len(inputs), 1, 4)
            moved = network(sample_patches(inputs, window, *network.size))
            first = own[0]
            padded = nn.functional.pad(moved, (0, 0, first, NUM_POINTS - first - len(own)))
            results.append((points + padded) * self.is_estimated[number][:, None])
        return torch.stack(results, 1)


class PatchLevel(Level):
    """Level 2 or 3: two networks a point, on patches around it."""

    def __init__(self, sides: tuple[float, float], start_noise: float) -> None:
        """Build the networks.

        Args:
            sides: of the two patches, in units of the box's square.
            start_noise: largest displacement that they are trained to correct.
        """
        super().__init__([(True,) * NUM_POINTS] * len(sides))
        self.sides = sides
        self.start_noise = start_noise
        self.networks = nn.ModuleList(PointNetwork(15, 1) for _ in range(len(sides) * NUM_POINTS))

    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Compute the estimates (n, 2, 5, 2) of face images (n, 1, side, side)."""
        moved = []
        for number, network in enumerate(self.networks):
            assert isinstance(network, PointNetwork)
            side, point = self.sides[number // NUM_POINTS], number % NUM_POINTS
            window = windows_around(points[:, point : point + 1], side)
            # The network's unit is the largest displacement, so that its outputs are of the order of 1.
            moved.append(network(sample_patches(inputs, window, *network.size)) * self.start_noise)
        return points[:, None] + torch.cat(moved, 1).unflatten(1, (len(self.sides), NUM_POINTS))


def build_sun2013() -> LandmarkCascade:
    """Build the three levels with random weights; the displacements are those of the paper, 5 % and 2 %."""
    return LandmarkCascade([FaceLevel(), PatchLevel((0.32, 0.36), 0.05), PatchLevel((0.22, 0.24), 0.02)])
