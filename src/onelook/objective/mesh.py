"""RetinaFace's mesh loss (Deng et al., CVPR 2020, equations 1 and 2)."""

import torch
from torch import Tensor


def mesh_loss(found: Tensor, wanted: Tensor, edges: Tensor, edge_weight: float) -> Tensor:
    """L_vert + edge_weight * L_edge, a scalar; 0 where there is no face.

    L_vert is the mean L1 distance of the vertices, L_edge the mean absolute difference of the lengths of the edges.

    Args:
        found, wanted: (n, v, 3) vertices as offsets from their anchors; faces with a NaN in `wanted` are left out.
        edges: (k, 2) int64, the two vertices of each edge.
        edge_weight: the paper's lambda_0, 1 there.
    """
    known = wanted.isfinite().all(-1).all(-1)
    if not known.any():
        return found.sum() * 0
    found, wanted = found[known].float(), wanted[known]
    vertices = (found - wanted).abs().sum(-1).mean()
    lengths = [_lengths(each, edges) for each in (found, wanted)]
    return vertices + edge_weight * (lengths[0] - lengths[1]).abs().mean()


def _lengths(vertices: Tensor, edges: Tensor) -> Tensor:
    """(n, k); a length of 0 has a gradient, where the square root alone has none."""
    sides = vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]
    return torch.sqrt(sides.square().sum(-1) + 1e-12)
