"""Cascades of levels that refine the five points of a found face.

    face image ─ level 1 ─▶ points ─ level 2, at the points ─▶ points ─ ...

Points are fractions of the square of the box (`geometry/face_squares.py`). The cascades are `model/sun2013.py`,
`model/coarse_to_fine.py` and `model/cfan.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS

NUM_POINTS = 5

Describe = Callable[[Tensor, Tensor, int], Tensor]
"""Computes the local features (n, d) of face images (n, 1, side, side) at points (n, 5, 2).

Its last argument is the side of the box's square in pixels to which the faces are resized."""


class Level(nn.Module, ABC):
    """A level of a cascade.

    Attributes:
        feature_side: side of the face in pixels on which its local features are computed; None for a level that gets
            the face image.
        start_noise: largest distance by which the labels are moved that it is trained from; None: it is trained from
            the points of the levels before it.
        is_estimated: (k, 5) bool, the points that each of its k estimates has.
    """

    feature_side: int | None = None
    start_noise: float | None = None
    is_estimated: Tensor

    def __init__(self, is_estimated: Sequence[Sequence[bool]] = ((True,) * NUM_POINTS,)) -> None:
        super().__init__()
        self.register_buffer("is_estimated", torch.tensor(is_estimated), persistent=False)

    @abstractmethod
    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Compute the estimates (n, k, 5, 2) of its networks, from points (n, 5, 2); 0 where one has no point."""

    def forward(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Refine points (n, 5, 2): the mean of the estimates of each point."""
        weights = self.is_estimated / self.is_estimated.sum(0)
        return (self.estimates(inputs, points) * weights[..., None]).sum(1)


class LandmarkCascade(nn.Module):
    """A cascade by its levels.

    Attributes:
        levels: from the first.
        start: (5, 2), from which the first level moves the points.
    """

    start: Tensor

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.register_buffer("start", torch.from_numpy(REFERENCE_LANDMARKS / CROP_SIZE), persistent=False)

    def run(self, faces: Tensor, describe: Describe, count: int | None = None) -> Iterator[Tensor]:
        """Yield the points (n, 5, 2) after each level.

        Args:
            faces: (n, 1, side, side) float32 in 0..255.
            describe: computes the local features of levels that need them.
            count: number of levels; None: all.
        """
        points = self.start.expand(len(faces), -1, -1)
        for level in self.levels[:count]:
            assert isinstance(level, Level)
            side = level.feature_side
            points = level(faces if side is None else describe(faces, points, side), points)
            yield points


def standardize(patches: Tensor) -> Tensor:
    """Scale each patch (..., h, w) to zero mean and unit variance."""
    mean = patches.mean((-2, -1), keepdim=True)
    centered = patches - mean
    return centered / (centered.square().mean((-2, -1), keepdim=True) + 1).sqrt()
