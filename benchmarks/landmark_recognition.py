"""Recognition with the released embedding head, frozen, at each kind of points.

A helper of landmarks.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from landmark_systems import JOINT, PointSystem
from pair_metrics import Metric, Pairs, accuracy_difference, measure_given, score_given
from recognition_pairs import CFP, LFW, read_cfp_pairs, read_lfw_pairs
from recognition_systems import nearest_center, require, stack_rows
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.inference.predictor import FaceDetector
from onelook.inference.resize import resize_to_longest_side
from onelook.settings import DetectSettings


class PointEmbedder(FaceDetector, Protocol):
    """A detector that embeds faces at given points."""

    def embed(self, image: np.ndarray, landmarks: np.ndarray, detect: DetectSettings) -> np.ndarray:
        """Embed the faces of an image at landmarks (n, 5, 2); returns (n, d) float32, L2-normalized."""


def measure_recognition(
    systems: Sequence[PointSystem], predictor: PointEmbedder, data: Path, limit: int | None
) -> dict[str, dict[str, tuple[Metric, Metric]]]:
    """Measure the accuracy on LFW and CFP.

    Args:
        systems: one of them is `JOINT`.
        predictor: the joint network.
        data: folder of lfw/ and cfp_folds_1_2/.
        limit: most pairs of a set.

    Returns:
        By system and set: the accuracy, and how much higher it is than that of `JOINT`.
    """
    paths, pairs = read_lfw_pairs(require(data / LFW), limit)
    sets: dict[str, tuple[list[Path], Pairs]] = {"LFW": (paths, pairs)}
    for kind in ("FF", "FP"):
        photos, pairs = read_cfp_pairs(require(data / CFP), kind, limit)
        sets[f"CFP {kind}"] = [photo.path for photo in photos], pairs
    known = embed_photos(sorted({path for paths, _ in sets.values() for path in paths}), systems, predictor)
    measured: dict[str, dict[str, tuple[Metric, Metric]]] = {system.name: {} for system in systems}
    for name, (own, pairs) in sets.items():
        scores = [score_given(stack_rows([known[path][row] for path in own]), pairs) for row in range(len(systems))]
        (joint,) = (each for each, system in zip(scores, systems, strict=True) if system.name == JOINT)
        for each, system in zip(scores, systems, strict=True):
            accuracy = measure_given(each, pairs)["accuracy"]
            measured[system.name][name] = accuracy, accuracy_difference(each, joint, pairs)
    return measured


def embed_photos(
    paths: Sequence[Path], systems: Sequence[PointSystem], predictor: PointEmbedder
) -> dict[Path, list[np.ndarray | None]]:
    """Embed the face nearest the center of each photo at the points of each system.

    Returns:
        By photo: for each system an embedding (d,), or None where no face was detected.
    """
    detect = DetectSettings()
    embedded: dict[Path, list[np.ndarray | None]] = {}
    for path in track(paths, description="recognition", transient=True, console=Console(stderr=True)):
        image = resize_to_longest_side(read_image(path), detect.longest_side)
        face = nearest_center(predictor.predict([image], detect, embed=False)[0], image)
        if not len(face):
            embedded[path] = [None] * len(systems)
            continue
        points = [system.predict_levels(image, face.boxes, face.landmarks)[-1, 0] for system in systems]
        embedded[path] = list(predictor.embed(image, np.stack(points), detect))
    return embedded
