"""A look as one module that an exporter can follow: photos in, faces out."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.errors import ModelError
from onelook.export.onnx_embedding import FaceEmbedding
from onelook.export.onnx_nms import Candidates, Suppression
from onelook.geometry.alignment import TEMPLATE
from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.boxes import decode_boxes, decode_landmarks, refined_anchors
from onelook.inference.decoding import MAX_CANDIDATES
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.joint_network import JointNetwork
from onelook.model.retinaface import RetinaFace


class Faces(NamedTuple):
    """The faces of a batch, image by image, best score first.

    images: (n,) int64. boxes: (n, 4; x1 y1 x2 y2). scores: (n,). landmarks: (n, 5, 2). embeddings: (n, d).
    """

    images: Tensor
    boxes: Tensor
    scores: Tensor
    landmarks: Tensor
    embeddings: Tensor


class OnnxGraph(nn.Module):
    """Preprocessing, trunk, heads, decoding, non-maximum suppression, sampling and embedding of a joint network.

    Raises:
        ModelError: the network is a grid of cells, which has no anchors of the pyramid.
    """

    def __init__(self, network: JointNetwork) -> None:
        super().__init__()
        if not isinstance(network.detector, RetinaFace) or not isinstance(network.embedding, EmbeddingHead):
            raise ModelError(
                "model.architecture: grid cannot be exported; train one with model.architecture: retinaface"
            )
        self.network = network
        self.levels = network.detector.levels
        self.embedding = FaceEmbedding(network.embedding)

    def forward(self, photos: Tensor, score: Tensor, nms: Tensor) -> Faces:
        """Look at photos.

        Args:
            photos: (B, H, W, 3) RGB uint8.
            score: (1,) float32, the lowest detection score.
            nms: (1,) float32, the overlap over which the worse of two boxes is left out.
        """
        shared = self.network(photos.permute(0, 3, 1, 2).float())
        anchors = traced_anchors(self.levels, shared.features)
        scores = shared.anchors.logits.softmax(-1)[..., 1]
        most = torch.minimum(torch._shape_as_tensor(anchors)[:1], torch.tensor([MAX_CANDIDATES]))
        scores, rows = Candidates.apply(scores, most)
        starts = anchors[rows] if shared.first is None else _at(refined_anchors(shared.first.boxes, anchors), rows)
        boxes = decode_boxes(_at(shared.anchors.boxes, rows), starts)
        points = _at(shared.anchors.landmarks, rows)
        kept = Suppression.apply(boxes, scores[:, None], most, nms, score)
        images, best = kept[:, 0], kept[:, 2]
        landmarks = decode_landmarks(points[images, best], starts[images, best])
        embeddings = self._embedded(shared.maps, landmarks, images)
        return Faces(images, boxes[images, best], scores[images, best], landmarks, embeddings)

    def _embedded(self, maps: list[Tensor], landmarks: Tensor, images: Tensor) -> Tensor:
        """Embeddings (n, d), of one face more than there are: onnxruntime fails where convolutions are shown none."""
        one_more = torch.from_numpy(TEMPLATE)[None]
        faces, owners = torch.cat([landmarks, one_more]), torch.cat([images, torch.zeros(1, dtype=torch.int64)])
        embeddings: Tensor = self.embedding(maps, faces, owners)
        return embeddings[:-1]


def traced_anchors(levels: Sequence[AnchorLevel], features: Sequence[Tensor]) -> Tensor:
    """The anchors (n, 4) of maps (B, c, H, W): those of `make_anchors`, for photos whose size is not known yet."""
    anchors = []
    for level, feature in zip(levels, features, strict=True):
        rows = (torch.arange(feature.shape[2]).float() + 0.5) * level.stride
        columns = (torch.arange(feature.shape[3]).float() + 0.5) * level.stride
        y, x, side = torch.meshgrid(rows, columns, torch.tensor(level.sizes).float(), indexing="ij")
        anchors.append(torch.stack([x, y, side, side], dim=-1).flatten(0, 2))
    return torch.cat(anchors)


def _at(values: Tensor, rows: Tensor) -> Tensor:
    """Values (B, n, d) at rows (B, k) of each image: (B, k, d)."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))
