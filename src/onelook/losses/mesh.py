"""RetinaFace's mesh loss (Deng et al., CVPR 2020, equations 1 and 2)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from onelook.distributed import loss_divisor
from onelook.geometry.mesh import POINTS_68, VERTICES, edges, edges_68, encode_mesh
from onelook.losses.detection import Matches

EDGE_WEIGHT = 1.0
"""The paper's lambda_0."""


def labeled_positives(
    matches: Sequence[Matches], meshes: Sequence[Tensor], anchors: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The positive anchors of faces that have a mesh.

    Args:
        matches: per image.
        meshes: per image (m, 468, 3) in pixels, NaN where absent.
        anchors: (B, n, 4), center and size, that the images' offsets lead from.

    Returns:
        Image and anchor (k,) int64 of each, and the offsets (k, 468, 3) from the anchor to the mesh of its face.
    """
    images, rows = torch.stack([match.positive for match in matches]).nonzero(as_tuple=True)
    wanted = torch.cat([of_image[match.faces[match.positive]] for match, of_image in zip(matches, meshes, strict=True)])
    known = wanted.isfinite().flatten(1).all(1)
    images, rows = images[known], rows[known]
    return images, rows, encode_mesh(wanted[known], anchors[images, rows])


def mesh_and_points_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """The losses of the whole mesh and of the 68 points, which are regressed together, summed; a scalar.

    `found` (n, 468 + 68, 3) and `wanted` (n, 468, 3) are offsets from anchors.
    """
    sides = torch.from_numpy(edges()), torch.from_numpy(edges_68())
    whole = mesh_loss(found[:, :VERTICES], wanted, sides[0], EDGE_WEIGHT)
    return whole + mesh_loss(found[:, VERTICES:], wanted[:, list(POINTS_68)], sides[1], EDGE_WEIGHT)


def mesh_loss(found: Tensor, wanted: Tensor, edges: Tensor, edge_weight: float) -> Tensor:
    """L_vert + edge_weight * L_edge, a scalar; 0 without a face.

    L_vert is the mean L1 distance of the vertices, L_edge the mean absolute difference of the lengths of the edges,
    over the faces of all processes that train together.

    Args:
        found, wanted: (n, v, 3) vertices as offsets from their anchors.
        edges: (k, 2) int64, the two vertices of each edge.
        edge_weight: the paper's lambda_0, 1 there.
    """
    faces = loss_divisor(len(found))
    vertices = (found - wanted).abs().sum(-1).sum() / (faces * found.shape[1])
    lengths = [_lengths(each, edges) for each in (found, wanted)]
    return vertices + edge_weight * (lengths[0] - lengths[1]).abs().sum() / (faces * len(edges))


def _lengths(vertices: Tensor, edges: Tensor) -> Tensor:
    """(n, k); a length of 0 has a gradient, where the square root alone has none."""
    sides = vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]
    return torch.sqrt(sides.square().sum(-1) + 1e-12)
