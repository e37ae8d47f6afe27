"""From 128 shape-and-texture parameters to a colored mesh.

RetinaFace's mesh decoder (arXiv 1905.00641, section 3.2).

As in Zhou et al. (CVPR 2019) one decoder tells shape and texture together, by Chebyshev convolutions on the mesh's
graph; here they correct a linear model, so that training starts from faces.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS, edges


def rescaled_laplacian(edges: np.ndarray, vertices: int) -> np.ndarray:
    """2 L / l - 1 (v, v) float64 of an undirected graph, with eigenvalues in -1..1.

    L is the normalized Laplacian 1 - D^(-1/2) A D^(-1/2) and l its largest eigenvalue (Defferrard et al., section 2.1).

    Args:
        edges: (k, 2) int64, each once, between different vertices.
        vertices: v; every one of them has an edge.
    """
    neighbors = np.zeros((vertices, vertices))
    neighbors[edges[:, 0], edges[:, 1]] = neighbors[edges[:, 1], edges[:, 0]] = 1
    roots = np.sqrt(neighbors.sum(1))
    laplacian = np.eye(vertices) - neighbors / roots[:, None] / roots
    rescaled: np.ndarray = 2 * laplacian / np.linalg.eigvalsh(laplacian)[-1] - np.eye(vertices)
    return rescaled


class ChebyshevConv(nn.Module):
    """y = sum over k < K of T_k(L) x W_k, plus a bias.

    (n, v, in) -> (n, v, out) (Defferrard et al., equation 5).

    T_0 x = x, T_1 x = L x, T_k x = 2 L T_(k-1) x - T_(k-2) x. K terms see neighbors K - 1 edges away.
    """

    def __init__(self, inputs: int, outputs: int, laplacian: Tensor, *, terms: int) -> None:
        """`laplacian`: (v, v), rescaled.

        It is known from the mesh and not saved with the weights.
        """
        super().__init__()
        self.laplacian: Tensor
        self.register_buffer("laplacian", laplacian, persistent=False)
        self.terms = terms
        self.mix = nn.Linear(terms * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        # Vertices first: one product of matrices for all meshes at once.
        series = [x.transpose(0, 1)]
        for term in range(1, self.terms):
            step = torch.tensordot(self.laplacian, series[-1], dims=1)
            series.append(step if term == 1 else 2 * step - series[-2])
        mixed: Tensor = self.mix(torch.cat(series, dim=-1).transpose(0, 1))
        return mixed


_HIDDEN = 16
_TERMS = 3


class MeshDecoder(nn.Module):
    """(n, 128) parameters, in standard deviations -> (n, 468, 6) x, y.

    Z in the face's frame and RGB of unlit skin.

    mean + sum of parameter x deviation x component, and a correction that two graph convolutions read from it and from
    the mean, which tells a vertex its place; it is 0 before training. Until `set_basis` is called all is 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.components: Tensor
        self.deviations: Tensor
        self.register_buffer("mean", torch.zeros(NUM_VERTICES, VERTEX_CHANNELS))
        self.register_buffer("components", torch.zeros(NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS))
        self.register_buffer("deviations", torch.zeros(NUM_SHAPE_PARAMETERS))
        self.inner = ChebyshevConv(2 * VERTEX_CHANNELS, _HIDDEN, _laplacian(), terms=_TERMS)
        self.outer = ChebyshevConv(_HIDDEN, VERTEX_CHANNELS, _laplacian(), terms=_TERMS)
        nn.init.zeros_(self.outer.mix.weight)
        nn.init.zeros_(self.outer.mix.bias)

    def set_basis(self, mean: Tensor, components: Tensor, deviations: Tensor) -> None:
        """Take a basis: mean (468, 6), components (128, 468, 6), deviations (128,).

        Saved with the weights.
        """
        for own, given in ((self.mean, mean), (self.components, components), (self.deviations, deviations)):
            own.copy_(given)

    def forward(self, parameters: Tensor) -> Tensor:
        linear = self.mean + torch.tensordot(parameters * self.deviations, self.components, dims=1)
        seen = torch.cat([linear, self.mean.expand_as(linear)], dim=-1)
        correction: Tensor = self.outer(functional.elu(self.inner(seen)))
        return linear + correction


@cache
def _laplacian() -> Tensor:
    return torch.from_numpy(rescaled_laplacian(edges(), NUM_VERTICES)).float()
