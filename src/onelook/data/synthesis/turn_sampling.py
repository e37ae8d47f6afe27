"""Random poses to which faces are turned in 3D."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onelook.data.synthesis.face_turning import TurnedFace, turn_face
from onelook.geometry.head_pose import head_yaw

_STD_PITCH = 8.0  # of the change of pitch, in degrees
# A face that is turned further than this, in degrees, is turned on to the same side: its other side is hidden.
_MAX_FRONTAL_YAW = 10.0


@dataclass(frozen=True)
class TurnOptions:
    """Number and range of the poses.

    Attributes:
        count: turned versions of each face.
        min_yaw, max_yaw: range of the absolute yaw of a turned face, in degrees.
        seed: of the poses.
    """

    count: int
    min_yaw: float
    max_yaw: float
    seed: int


def sample_turns(
    image: np.ndarray, vertices: np.ndarray, options: TurnOptions, rng: np.random.Generator
) -> Iterator[TurnedFace]:
    """Turn a face to random poses; one whose yaw exceeds the largest to none.

    The absolute yaw is uniform from the smallest, or from the face's own where that is larger, to the largest. The
    change of pitch is normal with a standard deviation of 8 degrees.

    Args:
        image: RGB (H, W, 3) uint8.
        vertices: (468, 3) mesh in pixels of the image.
        options: number and range of the poses.
        rng: random generator.
    """
    yaw = head_yaw(vertices)
    for _ in range(options.count if abs(yaw) < options.max_yaw else 0):
        is_frontal = abs(yaw) <= _MAX_FRONTAL_YAW
        side = rng.choice((-1.0, 1.0)) if is_frontal else np.sign(yaw)
        target = side * rng.uniform(max(options.min_yaw, abs(yaw)), options.max_yaw)
        yield turn_face(image, vertices, target - yaw, rng.normal(0, _STD_PITCH))
