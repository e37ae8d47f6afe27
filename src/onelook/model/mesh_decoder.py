"""From 128 shape-and-texture parameters to a colored mesh: RetinaFace's mesh decoder (arXiv 1905.00641, section 3.2).

As in Zhou et al. (CVPR 2019) one decoder tells shape and texture together, by Chebyshev convolutions on the mesh's
graph; here they correct a linear model, so that training starts from faces.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.mesh import COORDINATES_AND_COLORS, PARAMETERS, VERTICES, edges
from onelook.model.chebyshev import ChebyshevConv, rescaled_laplacian

_HIDDEN = 16
_TERMS = 3


class MeshDecoder(nn.Module):
    """(n, 128) parameters, in standard deviations -> (n, 468, 6) x, y, z in the face's frame and RGB of unlit skin.

    mean + sum of parameter x deviation x component, and a correction that two graph convolutions read from it and from
    the mean, which tells a vertex its place; it is 0 before training. Until `set_basis` is called all is 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.components: Tensor
        self.deviations: Tensor
        self.register_buffer("mean", torch.zeros(VERTICES, COORDINATES_AND_COLORS))
        self.register_buffer("components", torch.zeros(PARAMETERS, VERTICES, COORDINATES_AND_COLORS))
        self.register_buffer("deviations", torch.zeros(PARAMETERS))
        self.inner = ChebyshevConv(2 * COORDINATES_AND_COLORS, _HIDDEN, _laplacian(), terms=_TERMS)
        self.outer = ChebyshevConv(_HIDDEN, COORDINATES_AND_COLORS, _laplacian(), terms=_TERMS)
        nn.init.zeros_(self.outer.mix.weight)
        nn.init.zeros_(self.outer.mix.bias)

    def set_basis(self, mean: Tensor, components: Tensor, deviations: Tensor) -> None:
        """Take a basis: mean (468, 6), components (128, 468, 6), deviations (128,); saved with the weights."""
        for own, given in ((self.mean, mean), (self.components, components), (self.deviations, deviations)):
            own.copy_(given)

    def forward(self, parameters: Tensor) -> Tensor:
        linear = self.mean + torch.tensordot(parameters * self.deviations, self.components, dims=1)
        seen = torch.cat([linear, self.mean.expand_as(linear)], dim=-1)
        correction: Tensor = self.outer(functional.elu(self.inner(seen)))
        return linear + correction


@cache
def _laplacian() -> Tensor:
    return torch.from_numpy(rescaled_laplacian(edges(), VERTICES)).float()
