"""A pinhole camera before a face: RetinaFace's 7 camera parameters (Deng et al., arXiv 1905.00641, section 3.2).

The face's frame has x to the right of the photo, y downwards and z away from the camera, as meshes have. The camera's
axes are the same after the face is turned; the camera looks along z.
"""

import torch
from torch import Tensor

CAMERA = 7
# Nothing is seen from nearer than this, in the face's units: a camera inside the face has no picture.
_NEAREST = 0.1


def project(vertices: Tensor, camera: Tensor) -> Tensor:
    """Vertices as a camera sees them.

    Args:
        vertices: (n, v, 3) in the face's frame.
        camera: (n, 7): the camera's location, three numbers along its own axes and counted from the face's origin, so
            that (0, 0, -d) is straight before the face; the pose that the face is seen in, as axis times angle in
            radians, turned about the face's origin; the focal length, in units of the image plane.

    Returns:
        (n, v, 3): x and y on the image plane from the middle of the picture, and the distance from the camera along z.
    """
    turned = vertices @ rotations(camera[:, 3:6]).mT
    seen = turned - camera[:, None, :3]
    depth = seen[..., 2:].clip(min=_NEAREST)
    return torch.cat([camera[:, 6, None, None] * seen[..., :2] / depth, depth], dim=-1)


def rotations(poses: Tensor) -> Tensor:
    """Rotation matrices (n, 3, 3) of poses (n, 3), axis times angle; smooth at no rotation too."""
    x, y, z = poses.unbind(-1)
    nothing = torch.zeros_like(x)
    turning = torch.stack([nothing, -z, y, z, nothing, -x, -y, x, nothing], -1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(turning)
