"""A joint network as one traceable module, from images to decoded and embedded faces."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from onelook.errors import ModelError
from onelook.export.onnx_embedding import OnnxEmbeddingHead
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.boxes import decode_boxes, decode_landmarks, refine_anchors
from onelook.inference.predictor import TOPK_CANDIDATES
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.joint_network import JointNetwork
from onelook.model.retinaface import RetinaFace


class OnnxOutputs(NamedTuple):
    """The faces of a batch, image by image, best score first; the fields name the outputs of the file.

    images: (n,) int64, the index of each face's image in the batch. boxes: (n, 4; x1 y1 x2 y2). scores: (n,).
    landmarks: (n, 5, 2). embeddings: (n, d), L2-normalized.
    """

    images: Tensor
    boxes: Tensor
    scores: Tensor
    landmarks: Tensor
    embeddings: Tensor


class OnnxGraph(nn.Module):
    """Preprocessing, detection, decoding, NMS, sampling and embedding of a joint network.

    Raises:
        ModelError: the network is a grid detector, whose cells are not the anchors of an FPN.
    """

    def __init__(self, network: JointNetwork) -> None:
        super().__init__()
        if not isinstance(network.detector, RetinaFace) or not isinstance(network.embedding, EmbeddingHead):
            raise ModelError(
                "model.architecture: grid cannot be exported; train one with model.architecture: retinaface"
            )
        self.network = network
        self.levels = network.detector.levels
        self.embedding = OnnxEmbeddingHead(network.embedding)

    def forward(self, images: Tensor, score: Tensor, nms: Tensor) -> OnnxOutputs:
        """Detect and embed the faces of images.

        Args:
            images: (B, H, W, 3) RGB uint8.
            score: (1,) float32, the lowest detection score.
            nms: (1,) float32, the IoU above which the lower-scored of two boxes is dropped.
        """
        outputs = self.network(images.permute(0, 3, 1, 2).float())
        anchors = make_traced_anchors(self.levels, outputs.head_features)
        scores = outputs.anchor_outputs.logits.softmax(-1)[..., 1]
        count = torch.minimum(torch._shape_as_tensor(anchors)[:1], torch.tensor([TOPK_CANDIDATES]))
        scores, rows = TopK.apply(scores, count)
        if outputs.first_stage is None:
            references = anchors[rows]
        else:
            references = _gather_rows(refine_anchors(outputs.first_stage.boxes, anchors), rows)
        boxes = decode_boxes(_gather_rows(outputs.anchor_outputs.boxes, rows), references)
        offsets = _gather_rows(outputs.anchor_outputs.landmarks, rows)
        kept = NonMaxSuppression.apply(boxes, scores[:, None], count, nms, score)
        image_indices, best = kept[:, 0], kept[:, 2]
        landmarks = decode_landmarks(offsets[image_indices, best], references[image_indices, best])
        embeddings = self._embed(outputs.feature_maps, landmarks, image_indices)
        return OnnxOutputs(
            image_indices, boxes[image_indices, best], scores[image_indices, best], landmarks, embeddings
        )

    def _embed(self, maps: list[Tensor], landmarks: Tensor, image_indices: Tensor) -> Tensor:
        """Embed the faces and one dummy face, as onnxruntime's convolutions fail on empty batches."""
        dummy = torch.from_numpy(REFERENCE_LANDMARKS)[None]
        faces = torch.cat([landmarks, dummy])
        owners = torch.cat([image_indices, torch.zeros(1, dtype=torch.int64)])
        embeddings: Tensor = self.embedding(maps, faces, owners)
        return embeddings[:-1]


class TopK(torch.autograd.Function):
    """ONNX operator `TopK`: the highest scores of each image; the first of equal scores wins.

    A torch operator would be traced with a constant count, but the count depends on the image size.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Return the highest scores, descending, and their indices, (B, k) each.

        Args:
            ctx: not used.
            scores: (B, n).
            count: (1,) int64, k.
        """
        best = scores.sort(dim=1, descending=True, stable=True)
        return best.values[:, : int(count)], best.indices[:, : int(count)]

    @staticmethod
    def symbolic(g: Any, scores: Any, count: Any) -> Any:
        """Return the ONNX node."""
        return g.op("TopK", scores, count, axis_i=1, outputs=2)


class NonMaxSuppression(torch.autograd.Function):
    """ONNX operator `NonMaxSuppression` over all images of a batch.

    Like `cv2.dnn.NMSBoxes` it also drops boxes whose score is not above the threshold.
    """

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, count: Tensor, nms: Tensor, score: Tensor) -> Tensor:
        """Return a placeholder for the trace: the first box of each image.

        Args:
            ctx: not used.
            boxes: (B, n, 4; x1 y1 x2 y2).
            scores: (B, 1, n).
            count: (1,) int64, boxes that an image may keep.
            nms: (1,) float32, the IoU above which the lower-scored of two boxes is dropped.
            score: (1,) float32, the lowest score.

        Returns:
            (k, 3) int64: image, class 0 and box, image by image, best score first.
        """
        rows = torch.arange(len(boxes))
        return torch.stack([rows, torch.zeros_like(rows), torch.zeros_like(rows)], dim=1)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, count: Any, nms: Any, score: Any) -> Any:
        """Return the ONNX node."""
        return g.op("NonMaxSuppression", boxes, scores, count, nms, score)


def make_traced_anchors(levels: Sequence[AnchorLevel], features: Sequence[Tensor]) -> Tensor:
    """Make the anchors (n, 4) of feature maps (B, c, H, W) whose size is dynamic in the trace.

    The result equals that of `onelook.geometry.anchors.make_anchors`.
    """
    anchors = []
    for level, feature in zip(levels, features, strict=True):
        rows = (torch.arange(feature.shape[2]).float() + 0.5) * level.stride
        columns = (torch.arange(feature.shape[3]).float() + 0.5) * level.stride
        y, x, side = torch.meshgrid(rows, columns, torch.tensor(level.sizes).float(), indexing="ij")
        anchors.append(torch.stack([x, y, side, side], dim=-1).flatten(0, 2))
    return torch.cat(anchors)


def _gather_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Gather values (B, n, d) at rows (B, k) of each image: (B, k, d)."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))
