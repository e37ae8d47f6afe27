"""A look as one module that an exporter can follow: photos in, faces out."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.errors import ModelError
from onelook.export.face_embedding import FaceEmbedding
from onelook.export.suppression import Candidates, Suppression
from onelook.geometry.boxes import decode_boxes, decode_landmarks
from onelook.model.embedding import EmbeddingHead
from onelook.model.joint import Detector, JointNetwork
from onelook.model.look import MOST_CANDIDATES


class Faces(NamedTuple):
    """The faces of a batch, image by image, best score first.

    images: (n,) int64. boxes: (n, 4; x1 y1 x2 y2). scores: (n,). landmarks: (n, 5, 2). embeddings: (n, d).
    """

    images: Tensor
    boxes: Tensor
    scores: Tensor
    landmarks: Tensor
    embeddings: Tensor


class WholePass(nn.Module):
    """Preprocessing, trunk, heads, decoding, non-maximum suppression, sampling and embedding of a joint network.

    Raises:
        ModelError: the network is a grid of cells, which has no anchors of the pyramid.
    """

    def __init__(self, network: JointNetwork) -> None:
        super().__init__()
        if not isinstance(network.detector, Detector) or not isinstance(network.embedding, EmbeddingHead):
            raise ModelError("model.form: grid cannot be exported; train one with model.form: retinaface")
        self.network = network
        self.detector = network.detector
        self.embedding = FaceEmbedding(network.embedding)

    def forward(self, photos: Tensor, score: Tensor, nms: Tensor) -> Faces:
        """Look at photos.

        Args:
            photos: (B, H, W, 3) RGB uint8.
            score: (1,) float32, the lowest detection score.
            nms: (1,) float32, the overlap over which the worse of two boxes is left out.
        """
        shared = self.network(photos.permute(0, 3, 1, 2).float())
        anchors = self._anchors(shared.features)
        starts = shared.starts(anchors)
        scores = shared.anchors.logits.softmax(-1)[..., 1]
        most = torch.minimum(torch._shape_as_tensor(anchors)[:1], torch.tensor([MOST_CANDIDATES]))
        scores, rows = Candidates.apply(scores, most)
        boxes = decode_boxes(_at(shared.anchors.boxes, rows), _at(starts, rows))
        kept = Suppression.apply(boxes, scores[:, None], most, nms, score)
        images, best = kept[:, 0], kept[:, 2]
        rows = rows[images, best]
        points = decode_landmarks(shared.anchors.landmarks[images, rows], starts[images, rows])
        embeddings = self.embedding(shared.maps, points, images)
        return Faces(images, boxes[images, best], scores[images, best], points, embeddings)

    def _anchors(self, features: Sequence[Tensor]) -> Tensor:
        """The anchors of the maps that the heads read: those of `make_anchors`, for a size that is not known yet."""
        anchors = []
        for level, feature in zip(self.detector.levels, features, strict=True):
            rows = (torch.arange(feature.shape[2]).float() + 0.5) * level.stride
            columns = (torch.arange(feature.shape[3]).float() + 0.5) * level.stride
            y, x, side = torch.meshgrid(rows, columns, torch.tensor(level.sizes).float(), indexing="ij")
            anchors.append(torch.stack([x, y, side, side], dim=-1).flatten(0, 2))
        return torch.cat(anchors)


def _at(values: Tensor, rows: Tensor) -> Tensor:
    """Values (B, n, d) at rows (B, k) of each image: (B, k, d)."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))
