"""The joint network: one trunk and pyramid, or a grid of cells, with detection heads and an embedding head upon it.

RetinaFace (Deng et al., arXiv 1905.00641 and CVPR 2020) and one more head trained with ArcFace (Deng et al. 2019).
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from onelook.geometry.anchors import LEVELS, AnchorOutputs, make_anchors
from onelook.geometry.cascade import refined_anchors
from onelook.model.cascade import SecondStage
from onelook.model.dense import DenseHead
from onelook.model.embedding import EmbeddingHead
from onelook.model.grid import CellEmbedding, GridDetector
from onelook.model.heads import DetectionHeads
from onelook.model.mesh import MeshHead
from onelook.model.pyramid import Pyramid, context_modules
from onelook.model.trunk import PhotoTrunk
from onelook.settings import Model

# Strides of the trunk's maps, in pixels.
_TRUNK_STRIDES = (2, 4, 8, 16, 32)
# Strides of the maps a pass shares with the embedding head, in pixels.
MAP_STRIDES = (2, 4, 8, 16)


class SharedPass(NamedTuple):
    """One pass over images: what the heads say of every anchor, and the maps that faces are embedded from.

    `features` are the maps that the heads read, level by level. Of a cascade `anchors` and `features` are the second
    stage's, which count, and `first` is the first one's answer. A grid's maps are its cells' features, scale by scale,
    and last its anchors (`onelook.model.grid`).
    """

    anchors: AnchorOutputs
    maps: list[Tensor]
    features: Sequence[Tensor] = ()
    first: AnchorOutputs | None = None

    def float_features(self) -> list[Tensor]:
        """`features` in float32, whatever the pass computed in."""
        return [each.float() for each in self.features]

    def starts(self, anchors: Tensor) -> Tensor:
        """What the offsets of `anchors` lead from, (B, n, 4; centre x, centre y, width, height) in pixels.

        The images' anchors (n, 4) themselves, or in a cascade the boxes that the first stage made of them.
        """
        if self.first is None:
            return anchors.expand(len(self.anchors.boxes), -1, -1)
        return refined_anchors(self.first.boxes, anchors)


class Detector(PhotoTrunk):
    """Trunk, pyramid, context and detection heads: all that the public detectors hold."""

    def __init__(self, settings: Model) -> None:
        super().__init__(settings)
        self.levels = LEVELS[settings.levels]
        # The trunk's maps finer than the pyramid go past it.
        self.finer = _TRUNK_STRIDES.index(self.levels[0].stride)
        one_more = self.levels[-1].stride > _TRUNK_STRIDES[-1]
        inputs, sampling = self.trunk.channels[self.finer :], settings.sampling
        self.pyramid = Pyramid(inputs, settings.pyramid, sampling=sampling, one_more=one_more)
        self.context = context_modules(settings, len(self.levels))
        self.heads = DetectionHeads(settings.pyramid, self.levels)
        self.second = SecondStage(settings, self.levels) if settings.cascade else None

    def forward(self, images: Tensor) -> SharedPass:
        """(B, 3, H, W) RGB in 0..255, uint8 or float, of any size -> SharedPass with maps at strides 2, 4, 8, 16."""
        maps, levels = self._maps(images)
        features = [context(level) for context, level in zip(self.context, levels, strict=True)]
        outputs = self.heads(features)
        if self.second is None:
            return SharedPass(outputs, maps, features)
        refined, features = self.second(levels)
        return SharedPass(refined, maps, features, outputs)

    def anchors(self, height: int, width: int) -> Tensor:
        """What the offsets lead from for images of that size: (n, 4; centre x, centre y, width, height) in pixels."""
        return make_anchors(height, width, self.levels)

    def shared_maps(self, images: Tensor) -> list[Tensor]:
        """The maps of a pass over images alone, without the detection heads: for faces whose place is known."""
        return self._maps(images)[0]

    def _maps(self, images: Tensor) -> tuple[list[Tensor], Sequence[Tensor]]:
        maps = self.trunk_maps(self.normalised(images))
        levels = self.pyramid(maps[self.finer :])
        return [*maps[: self.finer], *levels][: len(MAP_STRIDES)], levels


class JointNetwork(nn.Module):
    """The detector and the heads that share its trunk and pyramid: embedding, and mesh and dense ones where asked for.

    Or the grid and its cells' embedding.

    What starts from trained weights keeps its batch-norm statistics: they describe the many faces it was trained on
    better than a few batches of other photos do. From the released weights that is all of it, from ImageNet the trunk,
    else the detector.
    """

    def __init__(self, settings: Model) -> None:
        super().__init__()
        self.settings = settings
        self.detector: Detector | GridDetector
        self.embedding: EmbeddingHead | CellEmbedding
        self.mesh: MeshHead | None = None
        self.dense: DenseHead | None = None
        if settings.form == "grid":
            self.detector = GridDetector(settings)
            self.embedding = CellEmbedding(settings.grid.channels, settings.embedding.size)
            return
        self.detector = Detector(settings)
        # The stride-2 map is shallow, and all that is left of a face of 24 pixels.
        finer = self.detector.trunk.channels[: self.detector.finer]
        widths = [*finer, *[settings.pyramid] * (len(MAP_STRIDES) - len(finer))]
        self.embedding = EmbeddingHead(dict(zip(MAP_STRIDES, widths, strict=True)), settings.embedding)
        if settings.mesh:
            self.mesh = MeshHead(settings.pyramid, self.detector.levels)
        if settings.dense:
            self.dense = DenseHead(settings.pyramid, self.detector.levels)

    def forward(self, images: Tensor) -> SharedPass:
        """(B, 3, H, W) RGB in 0..255 -> SharedPass."""
        return SharedPass(*self.detector(images))

    def embed(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embeddings (sum of n_i, size) of faces given by landmarks (n_i, 5, 2) per image, from a pass's maps."""
        return self.embedding(maps, landmarks)

    def train(self, mode: bool = True) -> "JointNetwork":
        super().train(mode)
        known = {"nothing": None, "imagenet": self.detector.trunk, "released": self}
        trained = known.get(self.settings.start, self.detector)
        if mode and trained is not None:
            for module in trained.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self
