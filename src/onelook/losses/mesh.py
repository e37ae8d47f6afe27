"""RetinaFace's mesh regression loss (Deng et al., CVPR 2020, equations 1 and 2)."""

from functools import lru_cache

import torch
from torch import Tensor

from onelook.device import to_device
from onelook.distributed import loss_divisor
from onelook.geometry.mesh import NUM_VERTICES, POINTS_68, edges, edges_68, encode_mesh
from onelook.losses.detection import Matches

EDGE_WEIGHT = 1.0
"""Weight of the edge loss, lambda_0 of the paper."""


def encode_mesh_targets(matches: Matches, meshes: Tensor, anchors: Tensor, images: Tensor, rows: Tensor) -> Tensor:
    """Encode the meshes of the faces that anchors are matched to.

    Args:
        matches: of the batch.
        meshes: (B, M, 468, 3) in pixels, NaN where absent.
        anchors: (B, n, 4) center and size, the anchors that the offsets refer to.
        images: (k,) int64, the index of each anchor's image.
        rows: (k,) int64, the index of the anchor in its image.

    Returns:
        Offsets (k, 468, 3) from the anchors; those of an anchor without a face are of the first face.
    """
    faces = matches.faces[images, rows].clip(min=0)
    return encode_mesh(meshes[images, faces], anchors[images, rows])


def mask_labeled(matches: Matches, meshes: Tensor) -> Tensor:
    """Return the mask (B, n) of the positive anchors whose face has a mesh; arguments as in `encode_mesh_targets`."""
    return matches.positive & matches.gather(meshes.isfinite().flatten(2).all(2))


def mesh_and_landmarks_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Sum the mesh losses of the 468 vertices and of the 68 landmarks.

    Args:
        predicted: (n, 468 + 68, 3) offsets from anchors.
        target: (n, 468, 3) offsets from the same anchors.
        valid: (n,) bool, False for rows to leave out.

    Returns:
        A scalar.
    """
    mesh_edges, landmark_edges, points_68 = _indices(predicted.device)
    mesh = mesh_loss(predicted[:, :NUM_VERTICES], target, mesh_edges, EDGE_WEIGHT, valid)
    return mesh + mesh_loss(predicted[:, NUM_VERTICES:], target[:, points_68], landmark_edges, EDGE_WEIGHT, valid)


def mesh_loss(predicted: Tensor, target: Tensor, edges: Tensor, edge_weight: float, valid: Tensor) -> Tensor:
    """Compute the vertex loss plus the weighted edge-length loss of meshes.

    - L_vert (equation 1): the mean L1 distance of the vertices.
    - L_edge (equation 2): the mean absolute difference of the edge lengths.

    Both are means over the faces of the whole batch.

    Args:
        predicted, target: (n, v, 3) vertices as offsets from their anchors.
        edges: (k, 2) int64, the two vertices of each edge.
        edge_weight: lambda_0, the weight of L_edge; 1 in the paper.
        valid: (n,) bool, False for rows to leave out, whose target may be NaN.

    Returns:
        A scalar; 0 without a face.
    """
    target = target.where(valid[:, None, None], 0)
    distances = (predicted - target).abs().sum((1, 2)) / predicted.shape[1]
    differences = (_edge_lengths(predicted, edges) - _edge_lengths(target, edges)).abs().sum(1) / len(edges)
    return (distances + edge_weight * differences).where(valid, 0).sum() / loss_divisor(valid.sum())


def _edge_lengths(vertices: Tensor, edges: Tensor) -> Tensor:
    """Compute edge lengths (n, k); 1e-12 keeps the gradient finite at length 0."""
    vectors = vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]
    return torch.sqrt(vectors.square().sum(-1) + 1e-12)


@lru_cache(maxsize=8)
def _indices(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the edges of the mesh and of the 68 landmarks, and the vertices of the landmarks, on a device."""
    indices = torch.from_numpy(edges()), torch.from_numpy(edges_68()), torch.tensor(POINTS_68)
    return to_device(indices, device)
