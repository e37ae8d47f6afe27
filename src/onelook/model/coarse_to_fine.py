"""Coarse-to-fine landmarks: a network of the whole face, then rounds of networks of patches around each point.

Source: Huang, Zhou and Cao, "Coarse-to-fine Face Alignment with Multi-Scale Local Patch Regression", arXiv 1511.04901:
a global network, then a pyramid of patches around each landmark, repeated.

Differences from the paper:
    - The five points of a round share one network, which tells them apart by the layers that follow it.
    - There are two rounds with weights of their own, the second on smaller patches.
"""

import torch
from torch import Tensor, nn

from onelook.geometry.face_squares import sample_patches, windows_around
from onelook.model.landmark_cascade import NUM_POINTS, LandmarkCascade, Level, standardize

_FACE_PIXELS, _PATCH_PIXELS = 48, 16
_FACE_WINDOW = 1.2
"""Side of the window of the global network, in units of the box's square."""
_ROUNDS = ((0.6, 0.3), (0.3, 0.15))
"""Sides of the two patches of each round, in units of the box's square."""
_UNIT = 0.1
"""Displacement of an output of 1."""


class GlobalLevel(Level):
    """The network of the whole face."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(_block(1, 16), _block(16, 32), _block(32, 48), _block(48, 64))
        self.regression = nn.Sequential(nn.Flatten(), nn.Linear(64 * 9, 128), nn.PReLU(128), nn.Linear(128, 10))

    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Compute the estimate (n, 1, 5, 2) of face images (n, 1, side, side)."""
        window = windows_around(inputs.new_full((len(inputs), 1, 2), 0.5), _FACE_WINDOW)
        faces = standardize(sample_patches(inputs, window, _FACE_PIXELS, _FACE_PIXELS))
        moved = self.regression(self.convolutions(faces)).unflatten(1, (1, NUM_POINTS, 2))
        return points[:, None] + _UNIT * moved


class RoundLevel(Level):
    """A round: one network on the patches of all points, then a regression of all displacements."""

    def __init__(self, sides: tuple[float, float]) -> None:
        """Build the network of patches of these sides, in units of the box's square."""
        super().__init__()
        self.sides = sides
        self.convolutions = nn.Sequential(_block(len(sides), 16), _block(16, 32), _block(32, 64), nn.Flatten())
        self.regression = nn.Sequential(nn.Linear(NUM_POINTS * 64 * 4, 128), nn.PReLU(128), nn.Linear(128, 10))

    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Compute the estimate (n, 1, 5, 2) of face images (n, 1, side, side)."""
        patches = [
            standardize(sample_patches(inputs, windows_around(points, side), _PATCH_PIXELS, _PATCH_PIXELS))
            for side in self.sides
        ]
        scales = torch.stack(patches, 2).flatten(0, 1)  # (5 n, 2, pixels, pixels)
        features = self.convolutions(scales).unflatten(0, (-1, NUM_POINTS)).flatten(1)
        return points[:, None] + _UNIT * self.regression(features).unflatten(1, (1, NUM_POINTS, 2))


def build_coarse_to_fine() -> LandmarkCascade:
    """Build the global network and two rounds with random weights."""
    return LandmarkCascade([GlobalLevel(), *(RoundLevel(sides) for sides in _ROUNDS)])


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Return convolution, batch norm and PReLU, and a pooling that halves the map."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.PReLU(outputs), nn.MaxPool2d(2))
