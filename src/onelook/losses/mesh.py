"""RetinaFace's mesh regression loss (Deng et al., CVPR 2020, equations 1 and 2)."""

import torch
from torch import Tensor

from onelook.distributed import loss_divisor
from onelook.geometry.mesh import NUM_VERTICES, POINTS_68, edges, edges_68, encode_mesh
from onelook.losses.detection import Matches

EDGE_WEIGHT = 1.0
"""Weight of the edge loss, lambda_0 of the paper."""


def select_mesh_targets(matches: Matches, meshes: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Select the positive anchors whose face has a mesh, and encode the mesh.

    Args:
        matches: of the batch.
        meshes: (B, M, 468, 3) in pixels, NaN where absent.
        anchors: (B, n, 4) center and size, the anchors that the offsets refer to.

    Returns:
        Image index (k,) int64, anchor index (k,) int64, and target offsets (k, 468, 3) from the anchor to the mesh.
    """
    labeled = meshes.isfinite().flatten(2).all(2)  # (B, M)
    images, rows = (matches.positive & matches.gather(labeled)).nonzero(as_tuple=True)
    return images, rows, encode_mesh(meshes[images, matches.faces[images, rows]], anchors[images, rows])


def mesh_and_landmarks_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Sum the mesh losses of the 468 vertices and of the 68 landmarks.

    Args:
        predicted: (n, 468 + 68, 3) offsets from anchors.
        target: (n, 468, 3) offsets from the same anchors.

    Returns:
        A scalar.
    """
    mesh_edges, landmark_edges = torch.from_numpy(edges()), torch.from_numpy(edges_68())
    mesh = mesh_loss(predicted[:, :NUM_VERTICES], target, mesh_edges, EDGE_WEIGHT)
    return mesh + mesh_loss(predicted[:, NUM_VERTICES:], target[:, list(POINTS_68)], landmark_edges, EDGE_WEIGHT)


def mesh_loss(predicted: Tensor, target: Tensor, edges: Tensor, edge_weight: float) -> Tensor:
    """Compute the vertex loss plus the weighted edge-length loss of meshes.

    - L_vert (equation 1): the mean L1 distance of the vertices.
    - L_edge (equation 2): the mean absolute difference of the edge lengths.

    Both are means over the faces of the whole batch.

    Args:
        predicted, target: (n, v, 3) vertices as offsets from their anchors.
        edges: (k, 2) int64, the two vertices of each edge.
        edge_weight: lambda_0, the weight of L_edge; 1 in the paper.

    Returns:
        A scalar; 0 without a face.
    """
    faces = loss_divisor(torch.tensor(len(predicted))).to(predicted.device, non_blocking=True)
    vertex_loss = (predicted - target).abs().sum(-1).sum() / (faces * predicted.shape[1])
    edge_differences = (_edge_lengths(predicted, edges) - _edge_lengths(target, edges)).abs()
    return vertex_loss + edge_weight * edge_differences.sum() / (faces * len(edges))


def _edge_lengths(vertices: Tensor, edges: Tensor) -> Tensor:
    """Compute edge lengths (n, k); 1e-12 keeps the gradient finite at length 0."""
    vectors = vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]
    return torch.sqrt(vectors.square().sum(-1) + 1e-12)
