"""Mesh decoder of RetinaFace's dense branch: parameters to a colored mesh (arXiv 1905.00641, section 3.2).

References:
    Chebyshev graph convolution: Defferrard et al., NeurIPS 2016.
    One decoder for shape and texture: Zhou et al., CVPR 2019.

Difference from both: the graph convolutions correct a linear morphable model, so training starts from faces.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS, edges

_HIDDEN_CHANNELS = 16
_TERMS = 3


class MeshDecoder(nn.Module):
    """Linear morphable model with a correction by two graph convolutions.

    (n, 128) parameters in standard deviations -> (n, 468, 6): x, y and z in the face's own frame, and unlit RGB. The
    correction is 0 before training. All outputs are 0 until `set_morphable_model` is called.

    Attributes:
        mean: (468, 6).
        components: (128, 468, 6).
        std: (128,) standard deviations along the components.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.components: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(NUM_VERTICES, VERTEX_CHANNELS))
        self.register_buffer("components", torch.zeros(NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS))
        self.register_buffer("std", torch.zeros(NUM_SHAPE_PARAMETERS))
        self.conv1 = ChebyshevConv(2 * VERTEX_CHANNELS, _HIDDEN_CHANNELS, _mesh_laplacian(), terms=_TERMS)
        self.conv2 = ChebyshevConv(_HIDDEN_CHANNELS, VERTEX_CHANNELS, _mesh_laplacian(), terms=_TERMS)
        nn.init.zeros_(self.conv2.linear.weight)
        nn.init.zeros_(self.conv2.linear.bias)

    def set_morphable_model(self, mean: Tensor, components: Tensor, std: Tensor) -> None:
        """Copy a morphable model into the buffers, which are saved with the weights; shapes as in the attributes."""
        self.mean.copy_(mean)
        self.components.copy_(components)
        self.std.copy_(std)

    def forward(self, parameters: Tensor) -> Tensor:
        linear = self.mean + torch.tensordot(parameters * self.std, self.components, dims=1)
        # The vertices share the convolution weights; the mean is an input that identifies each vertex.
        x = torch.cat([linear, self.mean.expand_as(linear)], dim=-1)
        correction: Tensor = self.conv2(functional.elu(self.conv1(x)))
        return linear + correction


class ChebyshevConv(nn.Module):
    """Graph convolution by Chebyshev polynomials of the Laplacian: (n, v, in) -> (n, v, out).

    y = sum over k < K of T_k(L) x W_k, plus a bias, with T_0 x = x, T_1 x = L x and T_k x = 2 L T_(k-1) x - T_(k-2) x
    (Defferrard et al., equation 5). A vertex depends on neighbors up to K - 1 edges away.

    Args:
        inputs, outputs: channels.
        laplacian: (v, v), rescaled; it follows from the mesh and is not saved with the weights.
        terms: K.
    """

    def __init__(self, inputs: int, outputs: int, laplacian: Tensor, *, terms: int) -> None:
        super().__init__()
        self.laplacian: Tensor
        self.register_buffer("laplacian", laplacian, persistent=False)
        self.terms = terms
        self.linear = nn.Linear(terms * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        # Vertices first, so that one matrix product serves all meshes.
        series = [x.transpose(0, 1)]  # (v, n, in)
        for term in range(1, self.terms):
            step = torch.tensordot(self.laplacian, series[-1], dims=1)
            series.append(step if term == 1 else 2 * step - series[-2])
        y: Tensor = self.linear(torch.cat(series, dim=-1).transpose(0, 1))
        return y


def rescaled_laplacian(edges: np.ndarray, vertices: int) -> np.ndarray:
    """Compute the rescaled Laplacian 2 L / l - 1 of an undirected graph.

    L is the normalized Laplacian 1 - D^(-1/2) A D^(-1/2), l its largest eigenvalue (Defferrard et al., section 2.1).

    Args:
        edges: (k, 2) int64, each once, between different vertices.
        vertices: v; every vertex has an edge.

    Returns:
        (v, v) float64 with eigenvalues in -1..1.
    """
    adjacency = np.zeros((vertices, vertices))
    adjacency[edges[:, 0], edges[:, 1]] = adjacency[edges[:, 1], edges[:, 0]] = 1
    roots = np.sqrt(adjacency.sum(1))
    laplacian = np.eye(vertices) - adjacency / roots[:, None] / roots
    rescaled: np.ndarray = 2 * laplacian / np.linalg.eigvalsh(laplacian)[-1] - np.eye(vertices)
    return rescaled


@cache
def _mesh_laplacian() -> Tensor:
    return torch.from_numpy(rescaled_laplacian(edges(), NUM_VERTICES)).float()
