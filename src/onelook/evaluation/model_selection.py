"""Model selection: the validation metrics after each epoch, and the one that selects the best epoch."""

import math

from onelook.data.manifest import Manifest
from onelook.evaluation.identification import dir_at_fpir, rank1
from onelook.evaluation.probe_set import EnrolledSet, ProbeSet, run_probe_trials, score_matrix
from onelook.evaluation.split_predictions import detect_split, embed_labeled, embed_split
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


def validation_metrics(predictor: TorchPredictor, manifest: Manifest, settings: Settings) -> dict[str, float]:
    """Compute the metrics of the trained tasks on the validation split.

    Returns:
        The metrics, and as `selection_metric` the one that selects the best epoch.

        - Both tasks, end to end: `ap50`, `rank1`, `dir_fpir10`. `selection_metric` is the geometric mean of `ap50` and
          `dir_fpir10`, which falls when either task gets worse.
        - Detection alone: `ap50`, which is also `selection_metric`.
        - Recognition alone: `rank1` and `dir_fpir10` of faces embedded at their labeled landmarks. The latter is also
          `selection_metric`.

    Raises:
        DataError: the validation split has no scenes, or too few people.
    """
    if settings.train.tasks == "recognition":
        metrics = _identification(*embed_labeled(predictor, manifest, "validation", settings))
        return {**metrics, "selection_metric": metrics["dir_fpir10"]}
    if settings.train.tasks == "detection":
        ap50 = detect_split(predictor, manifest, "validation", settings.detect).outcomes().average_precision()
        return {"ap50": ap50, "selection_metric": ap50}
    split = embed_split(predictor, manifest, "validation", settings)
    ap50 = split.outcomes().average_precision()
    metrics = _identification(split.probes, split.enrolled)
    return {"ap50": ap50, **metrics, "selection_metric": math.sqrt(ap50 * metrics["dir_fpir10"])}


def _identification(probes: ProbeSet, enrolled: EnrolledSet) -> dict[str, float]:
    trials = run_probe_trials(probes, *score_matrix(probes, enrolled))
    return {"rank1": rank1(trials), "dir_fpir10": dir_at_fpir(trials, 0.1)}
