"""Metrics of the joint-training study.

WIDER AP, LFW verification and milliseconds; a helper of hypothesis.py.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from detection_retention import wider_ap, wider_photos
from lfw_verification import embed_center_faces, training_photos
from rich.console import Console
from rich.progress import track
from sklearn.decomposition import PCA

from onelook.data.image_io import read_image
from onelook.data.readers.lfw import photo_path, read_pairs
from onelook.detections import Detections
from onelook.evaluation.verification import fold_accuracy, tar_at_far
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.retinaface import RetinaFace
from onelook.settings import DetectSettings

WIDER_SIDE = 640
WHITENED = 128  # components, as long as the trained embeddings
LEARNED_ON = 1000  # photos of training people the whitening is learned on
TIMED = 60  # rounds

Figures = dict[str, float]


class TwoPasses(TorchPredictor):
    """Predictor that detects with one network and embeds with another one."""

    def __init__(self, detector: TorchPredictor, recognizer: TorchPredictor) -> None:
        super().__init__(recognizer.network)
        self.detector = detector

    def predict(self, photos: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Detect and embed; same contract as `TorchPredictor.predict`."""
        found = self.detector.predict(photos, detect, embed=False)
        if not embed:
            return found
        rows = [self.embed(photo, each.landmarks, detect) for photo, each in zip(photos, found, strict=True)]
        return [replace(each, embeddings=row) for each, row in zip(found, rows, strict=True)]


class Bench:
    """The photos that everything is measured on."""

    def __init__(self, data: Path) -> None:
        self.lfw = data / "lfw"
        self.wider = list(wider_photos(data / "widerface"))
        pairs = read_pairs(self.lfw / "pairsDevTest.txt")
        self.same = np.array([kind for _, _, kind in pairs])
        self.photos = sorted({photo_path(self.lfw, *photo) for one, two, _ in pairs for photo in (one, two)})
        rows = {path: row for row, path in enumerate(self.photos)}
        self.places = np.array([[rows[photo_path(self.lfw, *photo)] for photo in pair[:2]] for pair in pairs])

    def measure(self, predictor: TorchPredictor) -> Figures:
        """Return WIDER AP and LFW verification of a network, or of two."""
        _, _, embeddings = embed_center_faces(predictor, self.photos)
        return {"wider_ap": wider_ap(predictor, self.wider, WIDER_SIDE), **self.verify(embeddings)}

    def verify(self, embeddings: np.ndarray) -> Figures:
        """Return accuracy and TAR of embeddings (n, d) of the photos.

        NaN where no face was found.
        """
        scores = (embeddings[self.places[:, 0]] * embeddings[self.places[:, 1]]).sum(axis=1)
        return {"accuracy": fold_accuracy(scores, self.same).mean, "tar": tar_at_far(scores, self.same, 0.01)}

    def last_layer(self, how: str) -> Figures:
        """Return metrics of the public detector's context maps at the five points.

        Raw or whitened.
        """
        detector = public_detector()
        features = context_features(detector, self.photos)
        if how == "whitened":
            known = context_features(detector, training_photos(self.lfw)[:LEARNED_ON])
            known = known[np.isfinite(known).all(axis=1)]
            pca = PCA(WHITENED, whiten=True, svd_solver="full").fit(known)
            found = np.isfinite(features).all(axis=1)
            rows = np.full((len(features), WHITENED), np.nan)
            rows[found] = pca.transform(features[found])
            features = rows
        metrics = self.verify(features / np.linalg.norm(features, axis=1, keepdims=True))
        return {"wider_ap": wider_ap(detector, self.wider, WIDER_SIDE), **metrics}


@torch.inference_mode()
def context_features(detector: TorchPredictor, photos: Sequence[Path]) -> np.ndarray:
    """Return the detector's head inputs at the five points of the center face.

    (n, 5 points x levels x channels).
    """
    network = detector.network.detector
    assert isinstance(network, RetinaFace)  # the public detector's kind
    rows = np.full((len(photos), 5 * len(network.levels) * 64), np.nan)
    _, landmarks, _ = embed_center_faces(detector, photos)
    for row, path in enumerate(track(photos, description="last layer", transient=True, console=Console(stderr=True))):
        if not np.isfinite(landmarks[row]).all():
            continue
        image = torch.from_numpy(read_image(path).transpose(2, 0, 1)[None].copy())
        maps = network.backbone(network.normalize(image))
        levels = network.fpn(maps[network.fpn_start :])
        points = torch.from_numpy(landmarks[row])[None, None]
        size = torch.tensor([image.shape[-1], image.shape[-2]])
        sampled = [
            torch.nn.functional.grid_sample(context(level), points * 2 / size - 1, align_corners=False)
            for context, level in zip(network.context, levels, strict=True)
        ]
        rows[row] = torch.cat(sampled, dim=1).flatten().numpy()
    return rows


def time_passes(joint: TorchPredictor, detector: TorchPredictor, recognizer: TorchPredictor) -> tuple[float, float]:
    """Return milliseconds for a VGA noise photo with eight given faces.

    One shared pass, and two passes.
    """
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    image = torch.from_numpy(photo.transpose(2, 0, 1)[None].copy())
    corners = torch.from_numpy(rng.uniform(0, 400, (8, 1, 2)).astype(np.float32))
    faces = [torch.from_numpy(REFERENCE_LANDMARKS) / 112 * 80 + corners]
    both, detection, recognition = joint.network, detector.network, recognizer.network
    one, two = [], []
    with torch.inference_mode():
        for _ in range(TIMED):
            start = time.perf_counter()
            both.embed(both(image).feature_maps, faces)
            middle = time.perf_counter()
            detection(image)
            recognition.embed(recognition.detector.extract_feature_maps(image), faces)
            one.append(1000 * (middle - start))
            two.append(1000 * (time.perf_counter() - middle))
    return statistics.median(one), statistics.median(two)
