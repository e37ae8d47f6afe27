"""FacePoseNet: six degrees of freedom regressed from the face, and the five points of a mean face in that pose.

Source: Chang, Tran, Hassner, Masi, Nevatia and Medioni, "FacePoseNet: Making a Case for Landmark-Free Face Alignment",
ICCV Workshops 2017, arXiv 1708.07517. The network regresses the six numbers of `geometry/face_pose.py`, each
standardized by its mean and standard deviation over the training views, as in the public code of the paper.

Differences from the paper:
    - The camera is a weak perspective, as in the second version of the public code. In it, a view that is moved,
      scaled, rotated or mirrored has an exact label.
    - Five convolutions of stride 2 on 72 gray pixels, instead of AlexNet on 227 pixels in color.

It is a cascade of one level that ignores the points it gets, so it runs wherever landmark cascades run.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.face_pose import POSE_NUMBERS, mean_points, project_poses
from onelook.geometry.face_squares import FACE_SIDE
from onelook.model.landmark_cascade import LandmarkCascade, Level, standardize

_REDUCTION = 2  # of the face image, by averages
_WIDTHS = (16, 32, 64, 96, 128)
_KERNELS = (5, 3, 3, 3, 3)


class PoseLevel(Level):
    """The network, on the whole face image.

    Attributes:
        shape: (5, 3), the points of the face that is projected.
        mean, std: (6,) of the six numbers.
    """

    shape: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        inputs = (1, *_WIDTHS[:-1])
        blocks = [_block(*sizes) for sizes in zip(inputs, _WIDTHS, _KERNELS, strict=True)]
        side = -(-FACE_SIDE // (_REDUCTION * 2 ** len(_WIDTHS)))
        self.convolutions = nn.Sequential(*blocks, nn.Flatten())
        hidden = nn.Linear(_WIDTHS[-1] * side**2, 128)
        self.regression = nn.Sequential(hidden, nn.PReLU(128), nn.Linear(128, POSE_NUMBERS))
        self.register_buffer("shape", torch.from_numpy(mean_points()).float())
        self.register_buffer("mean", torch.zeros(POSE_NUMBERS))
        self.register_buffer("std", torch.ones(POSE_NUMBERS))

    def regress(self, inputs: Tensor) -> Tensor:
        """Regress the standardized numbers (n, 6) of face images (n, 1, side, side) in 0..255."""
        faces = standardize(functional.avg_pool2d(inputs, _REDUCTION))
        numbers: Tensor = self.regression(self.convolutions(faces))
        return numbers

    def standardize_poses(self, poses: Tensor) -> Tensor:
        """Standardize poses (n, 6)."""
        return (poses - self.mean) / self.std

    def poses(self, inputs: Tensor) -> Tensor:
        """Predict the poses (n, 6) of face images, in units of the square from its center."""
        return self.regress(inputs) * self.std + self.mean

    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Compute the projected points (n, 1, 5, 2) of face images; `points` have no effect."""
        return project_poses(self.poses(inputs), self.shape)[:, None] + 0.5


class FacePoseNet(LandmarkCascade):
    """FacePoseNet as a cascade of one level."""

    def __init__(self) -> None:
        super().__init__([PoseLevel()])

    @property
    def level(self) -> PoseLevel:
        """Return its only level."""
        level = self.levels[0]
        assert isinstance(level, PoseLevel)
        return level


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Return a convolution that halves the map, batch norm and PReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.PReLU(outputs))
