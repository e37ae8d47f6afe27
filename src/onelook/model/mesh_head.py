"""Mesh head: regression of a face's 3D vertices at its anchor (RetinaFace, Deng et al., CVPR 2020, section 3.2)."""

from collections.abc import Sequence

from torch import Tensor

from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.mesh import NUM_VERTICES, POINTS_68
from onelook.model.anchor_head import AnchorHead


class MeshHead(AnchorHead):
    """Regression of the 468 vertices and, as a second output, of the 68 landmarks among them."""

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__(channels, levels, (NUM_VERTICES + len(POINTS_68)) * 3)

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor) -> Tensor:
        """Compute the mesh offsets (k, 468 + 68, 3) of anchors, coded as by `encode_mesh`.

        Arguments are those of `AnchorHead`.
        """
        return super().forward(features, images, anchors).unflatten(1, (-1, 3))
