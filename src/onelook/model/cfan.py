"""CFAN (Zhang, Shan, Kan and Chen, "Coarse-to-Fine Auto-Encoder Networks for Real-Time Face Alignment", ECCV 2014).

    face at low resolution ─ global SAN ─▶ points ─ SIFT at the points ─ local SAN ─▶ points ─ ...

A stacked autoencoder network (SAN) has sigmoid layers and a linear output. Each layer is first trained as an
autoencoder of the layer before it, then all together for the points. The local SANs get the features of all points at
once, from faces of rising resolution.

Differences from the paper: five points instead of 68, so the local features have 640 numbers; their descriptors are
OpenCV's (`data/sift_features.py`); decoders share the transposed weights of their encoders.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.face_squares import sample_patches, windows_around
from onelook.model.landmark_cascade import NUM_POINTS, LandmarkCascade, Level, standardize

NUM_FEATURES = NUM_POINTS * 128
"""Local features of a face: SIFT descriptors of its points."""
_GLOBAL_PIXELS, _GLOBAL_WINDOW = 50, 1.2
_GLOBAL_WIDTHS, _LOCAL_WIDTHS = (1600, 900, 400), (1296, 784, 400)
_FEATURE_SIDES = (48, 72, 96)
"""Sides of the face of the local SANs, in pixels."""
_UNIT = 0.1
"""Displacement of an output of 1."""
# Standard deviations of a face's gray values that are mapped to 0..1.
_GRAY_RANGE = 4.0
_SIGMOID_GAIN = 4.0


class SigmoidLayer(nn.Module):
    """A sigmoid layer with the bias of its decoder, whose weights are the transposed ones.

    Its weights start with the gain of Glorot and Bengio, "Understanding the difficulty of training deep feedforward
    neural networks", AISTATS 2010, for sigmoids, and its bias so that inputs of 0.5 give 0.5. With a gain of 1 each
    layer would divide the differences between faces by about four, and the points would hardly be trained.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(self.encoder.weight, gain=_SIGMOID_GAIN)
        with torch.no_grad():
            self.encoder.bias.copy_(self.encoder.weight.sum(1) / -2)
        self.decoder_bias = nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Encode inputs (n, inputs) to (n, outputs)."""
        return torch.sigmoid(self.encoder(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Encode and decode inputs (n, inputs) in 0..1."""
        return torch.sigmoid(functional.linear(self(x), self.encoder.weight.T, self.decoder_bias))


class AutoencoderLevel(Level):
    """A stacked autoencoder network (SAN).

    Attributes:
        layers: its sigmoid layers.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = (inputs, *widths)
        self.layers = nn.ModuleList(SigmoidLayer(*pair) for pair in pairwise(sizes))
        self.output = nn.Linear(widths[-1], 2 * NUM_POINTS)

    def to_vectors(self, inputs: Tensor) -> Tensor:
        """Return the inputs of the first layer (n, inputs), in 0..1."""
        return inputs

    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Compute the estimate (n, 1, 5, 2)."""
        x = self.to_vectors(inputs)
        for layer in self.layers:
            x = layer(x)
        return points[:, None] + _UNIT * self.output(x).unflatten(1, (1, NUM_POINTS, 2))

    def reconstruction(self, inputs: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return the inputs (n, d) of a layer, without gradients, and their reconstruction by it."""
        with torch.no_grad():
            x = self.to_vectors(inputs)
            for layer in list(self.layers)[:number]:
                x = layer(x)
        layer = self.layers[number]
        assert isinstance(layer, SigmoidLayer)
        return x, layer.reconstruct(x)


class GlobalAutoencoder(AutoencoderLevel):
    """The global SAN, on the whole face at low resolution."""

    def __init__(self) -> None:
        super().__init__(_GLOBAL_PIXELS**2, _GLOBAL_WIDTHS)

    def to_vectors(self, inputs: Tensor) -> Tensor:
        """Return the gray values (n, 2500) of face images (n, 1, side, side), with equal contrast in 0..1."""
        window = windows_around(inputs.new_full((len(inputs), 1, 2), 0.5), _GLOBAL_WINDOW)
        faces = standardize(sample_patches(inputs, window, _GLOBAL_PIXELS, _GLOBAL_PIXELS))
        return (faces / _GRAY_RANGE + 0.5).clamp(0, 1).flatten(1)


class LocalAutoencoder(AutoencoderLevel):
    """A local SAN, on SIFT features (n, 640) at the points."""

    def __init__(self, feature_side: int) -> None:
        """Build the network for features of faces of this side, in pixels."""
        super().__init__(NUM_FEATURES, _LOCAL_WIDTHS)
        self.feature_side = feature_side


def build_cfan() -> LandmarkCascade:
    """Build the global and three local networks with random weights."""
    return LandmarkCascade([GlobalAutoencoder(), *(LocalAutoencoder(side) for side in _FEATURE_SIDES)])
