"""WIDER AP, LFW verification, and milliseconds of one pass and of two; a helper of the studies."""

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from detection_retention import wider_ap, wider_photos
from lfw_verification import embed_center_faces

from onelook.data.readers.lfw import photo_path, read_pairs
from onelook.evaluation.verification import fold_accuracy, tar_at_far
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.inference.torch_predictor import TorchPredictor

WIDER_SIDE = 640
TIMED = 60  # rounds

Figures = dict[str, float]


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
