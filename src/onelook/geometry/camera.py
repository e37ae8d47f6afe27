"""Pinhole camera with RetinaFace's 7 parameters (arXiv 1905.00641, section 3.2).

The face's frame has x to the right of the image, y downwards and z away from the camera, as for meshes. The camera's
axes are those of the face's frame after the face is rotated; its optical axis is z.
"""

import torch
from torch import Tensor

NUM_CAMERA_PARAMETERS = 7
# Smallest depth in the face's units: a camera inside the face has no image.
_MIN_DEPTH = 0.1


def project_points(vertices: Tensor, camera: Tensor) -> Tensor:
    """Project vertices to the image plane.

    Args:
        vertices: (n, v, 3) in the face's frame.
        camera: (n, 7).
            0-2: the camera's location along its own axes, from the face's origin; (0, 0, -d) is in front of the face.
            3-5: the rotation of the face about its origin, as axis times angle in radians.
            6: the focal length, in units of the image plane.

    Returns:
        (n, v, 3): x and y on the image plane from its center, and the depth along z.
    """
    rotated = vertices @ axis_angle_to_matrix(camera[:, 3:6]).mT
    relative = rotated - camera[:, None, :3]
    depth = relative[..., 2:].clip(min=_MIN_DEPTH)
    return torch.cat([camera[:, 6, None, None] * relative[..., :2] / depth, depth], dim=-1)


def axis_angle_to_matrix(axis_angles: Tensor) -> Tensor:
    """Convert rotations (n, 3), axis times angle, to matrices (n, 3, 3).

    Differentiable at zero rotation, too.
    """
    x, y, z = axis_angles.unbind(-1)
    zero = torch.zeros_like(x)
    generator = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(generator)
