"""Convolutions on a mesh's edges (Defferrard et al. 2016): filters that are polynomials of the graph's Laplacian."""

import numpy as np
import torch
from torch import Tensor, nn


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
    """y = sum over k < K of T_k(L) x W_k, plus a bias: (n, v, in) -> (n, v, out) (Defferrard et al., equation 5).

    T_0 x = x, T_1 x = L x, T_k x = 2 L T_(k-1) x - T_(k-2) x. K terms see neighbors K - 1 edges away.
    """

    def __init__(self, inputs: int, outputs: int, laplacian: Tensor, *, terms: int) -> None:
        """`laplacian`: (v, v), rescaled; it is known from the mesh and not saved with the weights."""
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
