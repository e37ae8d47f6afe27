"""Outcomes of the networks of hypothesis.py on LFW, CFP and WIDER FACE, and the detector's last shared layer.

A helper of hypothesis.py. Scores and detections are kept, so that all networks are resampled alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from detection_retention import wider_outcomes, wider_photos
from lfw_verification import training_photos
from pair_metrics import Pairs, correct_by_fold, score_given, to_verification_pairs
from recognition_pairs import CFP, LFW, read_cfp_pairs, read_lfw_pairs
from recognition_systems import nearest_center, require, stack_rows
from rich.console import Console
from rich.progress import track
from sklearn.decomposition import PCA
from study_metrics import WIDER_SIDE

from onelook.data.image_io import read_image
from onelook.detections import Detections
from onelook.evaluation.average_precision import DetectionOutcomes
from onelook.inference.octaves import assign_octaves, count_octaves, halve_image
from onelook.inference.resize import resize_to_longest_side
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.retinaface import RetinaFace
from onelook.settings import DetectSettings

RESAMPLES, SEED = 1000, 2026
FAR = 0.01
METRICS = {
    "lfw_accuracy": "LFW accuracy",
    "lfw_tar": "LFW TAR at 1 % FAR",
    "ff_accuracy": "CFP FF accuracy",
    "fp_accuracy": "CFP FP accuracy",
    "wider_ap": "WIDER AP .5",
}
LAST_LAYER, WHITENED = "last layer", "last layer, whitened"
_COMPONENTS = 128  # of the whitened layer, as long as the trained embeddings
_LEARNED_ON = 1000  # photos of training people the whitening is learned on


class TwoPasses(TorchPredictor):
    """Predictor that detects with one network and embeds with another one."""

    def __init__(self, detector: TorchPredictor, recognizer: TorchPredictor) -> None:
        super().__init__(recognizer.network)
        self.detector = detector

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Detect and embed; same contract as `TorchPredictor.predict`."""
        found = self.detector.predict(images, detect, embed=False)
        if not embed:
            return found
        rows = [self.embed(image, each.landmarks, detect) for image, each in zip(images, found, strict=True)]
        return [replace(each, embeddings=row) for each, row in zip(found, rows, strict=True)]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What one network, or two, answered.

    Attributes:
        scores: similarities (n,) float64 of the pairs of each set, "lfw", "ff" and "fp"; NaN where a face is not found.
        detections: on the WIDER FACE photos.
    """

    scores: Mapping[str, np.ndarray]
    detections: DetectionOutcomes

    def save(self, path: Path) -> None:
        """Write a .npz file."""
        unfinished = path.with_suffix(".unfinished.npz")
        wider = {f"wider_{name}": each for name, each in vars(self.detections).items()}
        np.savez(unfinished, allow_pickle=False, **self.scores, **wider)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Outcomes":
        """Read a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            own = {name: arrays[name] for name in arrays.files}
        wider = {name.removeprefix("wider_"): own.pop(name) for name in list(own) if name.startswith("wider_")}
        return cls(own, DetectionOutcomes(**wider))


class TestPhotos:
    """The photos that everything is measured on."""

    __test__ = False  # no class of tests

    def __init__(self, data: Path) -> None:
        self.lfw = require(data / LFW)
        self.wider = list(wider_photos(require(data / "widerface")))
        paths, pairs = read_lfw_pairs(self.lfw, None)
        self.sets: dict[str, tuple[list[Path], Pairs]] = {"lfw": (paths, pairs)}
        for kind in ("FF", "FP"):
            photos, pairs = read_cfp_pairs(require(data / CFP), kind, None)
            self.sets[kind.lower()] = [photo.path for photo in photos], pairs

    def measure(self, predictor: TorchPredictor) -> Outcomes:
        """Answer all pairs end to end from the photo, and detect in the WIDER FACE photos."""
        scores = {name: score_given(embed(predictor, paths, name), pairs) for name, (paths, pairs) in self.sets.items()}
        return Outcomes(scores, wider_outcomes(predictor, self.wider, WIDER_SIDE))

    def measure_last_layer(self, detector: TorchPredictor) -> dict[str, Outcomes]:
        """Answer the pairs by the detector's last shared layer, raw and whitened.

        Whitening is learned on photos of LFW's training people.
        """
        detections = wider_outcomes(detector, self.wider, WIDER_SIDE)
        known = layer_features(detector, training_photos(self.lfw)[:_LEARNED_ON])
        pca = PCA(_COMPONENTS, whiten=True, svd_solver="full").fit(known[np.isfinite(known).all(axis=1)])
        scores: dict[str, dict[str, np.ndarray]] = {LAST_LAYER: {}, WHITENED: {}}
        for name, (paths, pairs) in self.sets.items():
            features = layer_features(detector, paths)
            found = np.isfinite(features).all(axis=1)
            whitened = np.full((len(features), _COMPONENTS), np.nan)
            whitened[found] = pca.transform(features[found])
            for kind, rows in ((LAST_LAYER, features), (WHITENED, whitened)):
                scores[kind][name] = score_given(rows / np.linalg.norm(rows, axis=1, keepdims=True), pairs)
        return {kind: Outcomes(each, detections) for kind, each in scores.items()}

    def resample(self, outcomes: Outcomes) -> dict[str, np.ndarray]:
        """Compute all METRICS (1 + RESAMPLES,): of the test data as they are, then of bootstrap resamples.

        The people of a set of pairs are resampled, and the photos of WIDER FACE; alike for all outcomes.
        """
        metrics: dict[str, np.ndarray] = {}
        for name, (_, pairs) in self.sets.items():
            scores = outcomes.scores[name]
            is_correct = correct_by_fold(scores, pairs.same, pairs.folds)
            weights = _draw(1 + int(pairs.people.max()))
            of_people = weights[:, pairs.people]
            of_pairs = np.where(pairs.same, of_people[..., 0], of_people.prod(axis=2))
            metrics[f"{name}_accuracy"] = of_pairs @ is_correct / of_pairs.sum(axis=1)
            if name == "lfw":
                verification = to_verification_pairs(scores, pairs)
                metrics["lfw_tar"] = np.array([verification.tar_at_far(FAR, each) for each in weights])
        weights = _draw(len(outcomes.detections.face_counts))
        metrics["wider_ap"] = np.array([outcomes.detections.average_precision(each) for each in weights])
        return metrics


def embed(predictor: TorchPredictor, paths: Sequence[Path], name: str) -> np.ndarray:
    """Return the embeddings (n, d) of the face nearest the center of each photo; NaN where none is found."""
    rows: list[np.ndarray | None] = []
    for path in _progress(paths, name):
        image = read_image(path)
        face = nearest_center(predictor.predict([image], DetectSettings())[0], image)
        rows.append(face.embeddings[0] if len(face) else None)
    return stack_rows(rows)


@torch.inference_mode()
def layer_features(detector: TorchPredictor, paths: Sequence[Path]) -> np.ndarray:
    """Return the input of the detection heads at the five points of the face nearest the center.

    Like an embedding, a face is read in the octave that answers for its size.

    Returns:
        (n, 5 points x levels x channels) float64; NaN where no face was found.
    """
    network = detector.network.detector
    assert isinstance(network, RetinaFace)  # the public detector's kind
    detect = DetectSettings()
    rows = np.full((len(paths), 5 * len(network.levels) * detector.network.settings.fpn_channels), np.nan)
    for row, path in enumerate(_progress(paths, "last layer")):
        image = resize_to_longest_side(read_image(path), detect.longest_side)
        face = nearest_center(detector.predict([image], detect, embed=False)[0], image)
        if len(face) == 0:
            continue
        height, width = image.shape[:2]
        size = np.sqrt(np.prod(face.boxes[:, 2:] - face.boxes[:, :2], axis=1))
        octave = assign_octaves(size, detect.face_size, count_octaves(height, width, detect.face_size))[0]
        for _ in range(octave):
            image = halve_image(image)
        points = face.landmarks[0] * np.array([image.shape[1] / width, image.shape[0] / height])
        rows[row] = _sample_layer(network, image, points)
    return rows


def _sample_layer(network: RetinaFace, image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sample the context maps of all levels at points (5, 2) in pixels of an image."""
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    levels = network.fpn(network.backbone(network.normalize(pixels))[network.fpn_start :])
    size = torch.tensor([pixels.shape[-1], pixels.shape[-2]])
    grid = torch.from_numpy(points.astype(np.float32))[None, None] * 2 / size - 1
    sampled = [
        torch.nn.functional.grid_sample(context(level), grid, align_corners=False)
        for context, level in zip(network.context, levels, strict=True)
    ]
    return torch.cat(sampled, dim=1).flatten().numpy()


def _draw(units: int) -> np.ndarray:
    """Return weights (1 + RESAMPLES, units) float64: ones, then those of the bootstrap."""
    resamples = np.random.default_rng(SEED).multinomial(units, np.full(units, 1 / units), RESAMPLES)
    return np.concatenate([np.ones((1, units)), resamples])


def _progress(paths: Sequence[Path], description: str):
    return track(paths, description=description, transient=True, console=Console(stderr=True))
