"""The joint network: one trunk and pyramid, or a grid of cells, with detection heads and an embedding head upon it.

RetinaFace (Deng et al., arXiv 1905.00641 and CVPR 2020) and one more head trained with ArcFace (Deng et al. 2019).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from onelook.model.dense_head import DenseHead
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.grid_detector import CellEmbedding, GridDetector
from onelook.model.mesh_head import MeshHead
from onelook.model.retinaface import (
    MAP_STRIDES,
    NetworkOutput,
    RetinaFace,
)
from onelook.settings import ModelSettings


class JointNetwork(nn.Module):
    """The detector and the heads that share its trunk and pyramid: embedding, and mesh and dense ones where asked for.

    Or the grid and its cells' embedding.

    What starts from trained weights keeps its batch-norm statistics: they describe the many faces it was trained on
    better than a few batches of other photos do. From the released weights that is all of it, from ImageNet the trunk,
    else the detector.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.detector: RetinaFace | GridDetector
        self.embedding: EmbeddingHead | CellEmbedding
        self.mesh: MeshHead | None = None
        self.dense: DenseHead | None = None
        if settings.architecture == "grid":
            self.detector = GridDetector(settings)
            self.embedding = CellEmbedding(settings.grid.channels, settings.embedding.dim)
            return
        self.detector = RetinaFace(settings)
        # The stride-2 map is shallow, and all that is left of a face of 24 pixels.
        finer = self.detector.backbone.channels[: self.detector.finer]
        widths = [*finer, *[settings.fpn_channels] * (len(MAP_STRIDES) - len(finer))]
        self.embedding = EmbeddingHead(dict(zip(MAP_STRIDES, widths, strict=True)), settings.embedding)
        if settings.mesh:
            self.mesh = MeshHead(settings.fpn_channels, self.detector.levels)
        if settings.dense:
            self.dense = DenseHead(settings.fpn_channels, self.detector.levels)

    def forward(self, images: Tensor) -> NetworkOutput:
        """(B, 3, H, W) RGB in 0..255 -> SharedPass."""
        return NetworkOutput(*self.detector(images))

    def embed(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embeddings (sum of n_i, size) of faces given by landmarks (n_i, 5, 2) per image, from a pass's maps."""
        return self.embedding(maps, landmarks)

    def train(self, mode: bool = True) -> "JointNetwork":
        super().train(mode)
        known = {"random": None, "imagenet": self.detector.backbone, "released": self}
        trained = known.get(self.settings.init, self.detector)
        if mode and trained is not None:
            for module in trained.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self
