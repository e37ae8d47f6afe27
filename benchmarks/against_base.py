"""What the ablation measures beside metrics: differences between networks. No benchmark by itself."""

from pathlib import Path

import numpy as np

from onelook.data.manifest import Manifest
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.landmarks import landmark_figures
from onelook.evaluation.mesh_error import pair_meshes
from onelook.evaluation.probe_set import detect_split
from onelook.inference.loading import load_torch_predictor
from onelook.settings import Settings

Figures = dict[str, float]


class Outcome:
    """The figures of one network on the test photos, however often each of these counts."""

    def __init__(self, model: Path, manifest: Manifest, settings: Settings) -> None:
        seen = detect_split(load_torch_predictor(model), manifest, "test", settings.detect, lambda photos: None)
        self.settings = settings
        found_by = settings.evaluate.iou, settings.detect.score
        self.photos = len(seen.scenes)
        self.detections = seen.outcomes()
        self.errors = seen.errors(*found_by)
        self.meshes = pair_meshes(seen, manifest, *found_by)

    def figures(self, weights: np.ndarray) -> Figures:
        """`ap50`, `nme` and, of a network with a mesh head, `mesh`; errors are those of the faces it found itself."""
        figures = {"ap50": self.detections.average_precision(weights)}
        figures["nme"] = landmark_figures(self.errors.by_size, weights[self.errors.scenes])["nme"]
        return figures if self.meshes is None else {**figures, "mesh": self.meshes.figures(weights)["error"]}

    def with_intervals(self) -> Figures:
        """The figures with their intervals."""
        return with_intervals(
            self.figures, (self.photos,), self.settings.evaluate.bootstrap_samples, self.settings.base.seed
        )


def difference(own: Outcome, base: Outcome) -> Figures:
    """How much higher the figures of both are in one, with intervals: both see the same resampled photos."""

    def gains(weights: np.ndarray) -> Figures:
        theirs = base.figures(weights)
        return {name: value - theirs[name] for name, value in own.figures(weights).items() if name in theirs}

    return with_intervals(gains, (own.photos,), own.settings.evaluate.bootstrap_samples, own.settings.base.seed)
