"""Joint network: a face detector and the heads that share its feature maps.

    images ─▶ RetinaFace or GridDetector ─▶ detections per anchor
                        └─ feature maps + landmarks ─▶ EmbeddingHead or CellEmbedding ─▶ embeddings
                        └─ head features + anchors ─▶ MeshHead, DenseHead (optional)

RetinaFace: Deng et al., arXiv 1905.00641 and CVPR 2020. The embedding is trained with ArcFace (Deng et al., CVPR 2019).

Examples:
    >>> network = JointNetwork(ModelSettings(init="random")).eval()
    >>> output = network(torch.zeros(2, 3, 480, 640, dtype=torch.uint8))
    >>> landmarks = [torch.rand(1, 5, 2) * 400, torch.rand(3, 5, 2) * 400]  # one face, three faces
    >>> network.embed(output.feature_maps, landmarks).shape
    torch.Size([4, 128])
"""

from collections.abc import Sequence

from torch import Tensor, nn

from onelook.model.dense_head import DenseHead
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.grid_detector import CellEmbedding, GridDetector
from onelook.model.mesh_head import MeshHead
from onelook.model.retinaface import FEATURE_STRIDES, PIXEL_CHANNELS, NetworkOutput, RetinaFace
from onelook.settings import ModelSettings


class JointNetwork(nn.Module):
    """Detector, embedding head, and the optional mesh and dense heads.

    In training mode, batch norms of pretrained modules keep their running statistics: those describe many more faces
    than a few batches of other photos. `settings.pretrained_part` names them.
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
        # Backbone maps finer than the FPN come first. The stride-2 map resolves faces of 24 pixels.
        fine = [PIXEL_CHANNELS, *self.detector.backbone.channels[: self.detector.fpn_start]]
        channels = [*fine, *[settings.fpn_channels] * (len(FEATURE_STRIDES) - len(fine))]
        self.embedding = EmbeddingHead(dict(zip(FEATURE_STRIDES, channels, strict=True)), settings.embedding)
        if settings.mesh:
            self.mesh = MeshHead(settings.fpn_channels, self.detector.levels)
        if settings.dense:
            self.dense = DenseHead(settings.fpn_channels, self.detector.levels)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Detect faces in images (B, 3, H, W), RGB in 0..255, uint8 or float."""
        output: NetworkOutput = self.detector(images)
        return output

    def embed(self, feature_maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces at landmarks (n_i, 5, 2) per image, from the feature maps of a forward pass.

        Returns:
            (n, dim) L2-normalized, image by image; n is the sum of n_i.
        """
        embeddings: Tensor = self.embedding(feature_maps, landmarks)
        return embeddings

    def train(self, mode: bool = True) -> "JointNetwork":
        """Set the training mode; batch norms of pretrained modules stay in evaluation mode."""
        super().train(mode)
        parts = {"backbone": self.detector.backbone, "detector": self.detector, "network": self}
        pretrained = parts.get(self.settings.pretrained_part)
        if mode and pretrained is not None:
            for module in pretrained.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self
