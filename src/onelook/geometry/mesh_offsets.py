"""The offsets a network regresses from anchors to the vertices of face meshes."""

import torch
from torch import Tensor

from onelook.geometry.mesh import NOSE_TIP


def encode_mesh(vertices: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (n, 468, 3) that lead from anchors (n, 4; centre, size) to vertices (n, 468, 3).

    x and y from the anchor's centre and z from the nose tip's, all in sides of the anchor: z is 0 at the nose tip
    (RetinaFace, CVPR 2020, section 3.2).
    """
    origin = torch.cat([anchors[:, None, :2], vertices[:, NOSE_TIP : NOSE_TIP + 1, 2:]], dim=-1)
    return (vertices - origin) / _sides(anchors)


def decode_mesh(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Vertices (n, 468, 3) that offsets lead to from anchors (n, 4): undoes `encode_mesh`, with the nose tip at z 0."""
    origin = torch.cat([anchors[:, :2], torch.zeros_like(anchors[:, :1])], dim=-1)
    return offsets * _sides(anchors) + origin[:, None]


def _sides(anchors: Tensor) -> Tensor:
    return anchors[:, None, [2, 3, 2]]
