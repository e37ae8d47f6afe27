"""Where a face is sampled, as a matrix that its landmarks are multiplied by."""

import torch
from torch import Tensor, nn

from onelook.geometry.alignment import TEMPLATE
from onelook.geometry.face_grids import upright_grid
from onelook.model.embedding import EmbeddingHead


class FaceGrid(nn.Module):
    """Points (n, samples * samples, 2; x and y in pixels, row by row) of faces given by landmarks (n, 5, 2).

    A least-squares similarity from a fixed template is linear in the points it leads to (and so is their mean), so the
    grid is a matrix, made once in double precision. The upright square's side is no linear function of the points: its
    grid is one for the template, moved and scaled.
    """

    def __init__(self, head: EmbeddingHead, samples: int) -> None:
        super().__init__()
        self.matrix: Tensor
        self.upright: Tensor | None
        self.side: Tensor
        self.samples = samples**2
        template = torch.from_numpy(TEMPLATE).double()
        linear = upright = None
        if head.grid is upright_grid:
            upright = (upright_grid(template[None], samples, head.extent) - template.mean(0)).reshape(-1, 2).float()
        else:
            linear = head.grid(torch.eye(10).double().reshape(10, 5, 2), samples, head.extent).flatten(1).float()
        self.register_buffer("matrix", linear)
        self.register_buffer("upright", upright)
        self.register_buffer("side", _longer_side(template).float())

    def forward(self, landmarks: Tensor) -> Tensor:
        if self.upright is None:
            return (landmarks.flatten(1) @ self.matrix).reshape(-1, self.samples, 2)
        scale = _longer_side(landmarks) / self.side
        return self.upright * scale[:, None, None] + landmarks.mean(1, keepdim=True)


def _longer_side(points: Tensor) -> Tensor:
    return (points.amax(-2) - points.amin(-2)).amax(-1)
