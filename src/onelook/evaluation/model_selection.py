"""The figure the best epoch is chosen by."""

import math

from onelook.data.manifest import Manifest
from onelook.evaluation.identification import dir_at_fpir, rank1
from onelook.evaluation.probe_set import ProbeSet, detect_split, embed_labeled, evaluate_split, score_matrix, try_probes
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


def validation_figure(looker: TorchPredictor, manifest: Manifest, settings: Settings) -> dict[str, float]:
    """The tasks that are trained, on the validation people.

    Returns:
        For both tasks, end to end: `ap50`, `rank1`, `dir_fpir10`, and `figure`: the geometric mean of `ap50` and
        `dir_fpir10`, which falls when either task is forgotten. For detection alone `ap50` is the figure; for
        recognition alone `dir_fpir10` of faces embedded where the labels say they are.

    Raises:
        DataError: there is nothing to validate on.
    """
    if settings.train.tasks == "recognition":
        figures = _recognition(*embed_labeled(looker, manifest, "validation", settings.evaluate.iou))
        return {**figures, "figure": figures["dir_fpir10"]}
    if settings.train.tasks == "detection":
        ap50 = detect_split(looker, manifest, "validation", settings.detect, _silent).outcomes().average_precision()
        return {"ap50": ap50, "figure": ap50}
    seen = evaluate_split(looker, manifest, "validation", settings, _silent)
    ap50 = seen.outcomes().average_precision()
    figures = _recognition(seen.probes, seen.enrolled)
    return {"ap50": ap50, **figures, "figure": math.sqrt(ap50 * figures["dir_fpir10"])}


def _silent(photos: int) -> None:
    """Progress that nobody watches."""


def _recognition(probes: ProbeSet, enrolled: ProbeSet) -> dict[str, float]:
    trials = try_probes(probes, *score_matrix(probes, enrolled))
    return {"rank1": rank1(trials), "dir_fpir10": dir_at_fpir(trials, 0.1)}
