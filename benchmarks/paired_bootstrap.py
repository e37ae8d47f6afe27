"""Paired bootstrap of the differences between two networks.

A helper of the ablation.
"""

from pathlib import Path

import numpy as np

from onelook.data.manifest import Manifest
from onelook.evaluation.bootstrap import bootstrap_intervals
from onelook.evaluation.landmarks import landmark_metrics
from onelook.evaluation.mesh_error import pair_meshes
from onelook.evaluation.split_predictions import detect_split
from onelook.inference.loading import load_torch_predictor
from onelook.settings import Settings

Figures = dict[str, float]


class Outcome:
    """Metrics of one network on the test photos, under any photo weights."""

    def __init__(self, model: Path, manifest: Manifest, settings: Settings) -> None:
        detections = detect_split(load_torch_predictor(model), manifest, "test", settings.detect, lambda photos: None)
        self.settings = settings
        found_by = settings.evaluate.iou, settings.detect.score
        self.photos = len(detections.scenes)
        self.detections = detections.outcomes()
        self.errors = detections.landmark_errors(*found_by)
        self.meshes = pair_meshes(detections, manifest, *found_by)

    def metrics(self, weights: np.ndarray) -> Figures:
        """Return `ap50`, `nme` and, with a mesh head, `mesh`.

        Errors are those of the faces the network found.
        """
        metrics = {"ap50": self.detections.average_precision(weights)}
        metrics["nme"] = landmark_metrics(self.errors.size_normalized, weights[self.errors.scenes])["nme"]
        return metrics if self.meshes is None else {**metrics, "mesh": self.meshes.metrics(weights)["error"]}

    def bootstrap_intervals(self) -> Figures:
        """Return the metrics with their intervals."""
        return bootstrap_intervals(
            self.metrics, (self.photos,), self.settings.evaluate.bootstrap_samples, self.settings.base.seed
        )


def difference(own: Outcome, base: Outcome) -> Figures:
    """Return how much higher one network's metrics are.

    With intervals over the same resampled photos.
    """

    def gains(weights: np.ndarray) -> Figures:
        theirs = base.metrics(weights)
        return {name: value - theirs[name] for name, value in own.metrics(weights).items() if name in theirs}

    return bootstrap_intervals(gains, (own.photos,), own.settings.evaluate.bootstrap_samples, own.settings.base.seed)
