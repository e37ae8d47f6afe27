"""The mesh head: the vertices of a face, read from the features its anchor sees.

Deng et al., CVPR 2020.
"""

from collections.abc import Sequence

from torch import Tensor

from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.mesh import NUM_VERTICES, POINTS_68
from onelook.model.anchor_head import AnchorHead


class MeshHead(AnchorHead):
    """The whole mesh, and the 68 points, which are regressed together with it."""

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__(channels, levels, (NUM_VERTICES + len(POINTS_68)) * 3)

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor) -> Tensor:
        """Offsets (k, 468 + 68, 3) as `encode_mesh` has them.

        Of anchors as `AnchorHead` takes them.
        """
        return super().forward(features, images, anchors).unflatten(1, (-1, 3))
