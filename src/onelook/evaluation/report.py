"""Report of an evaluation: metrics.json, calibration.json, curves as CSV, and pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onelook.data.image_io import write_image
from onelook.data.manifest import Manifest
from onelook.evaluation import plots
from onelook.evaluation.contact_sheet import ContactSheet
from onelook.evaluation.evaluate import Evaluation, RecognitionEvaluation
from onelook.evaluation.identification import dir_at_fpir
from onelook.evaluation.landmarks import FAILURE_THRESHOLD, cumulative_fraction
from onelook.evaluation.mesh_error import MeshPairs
from onelook.evaluation.mesh_pictures import draw_mesh_sheet, plot_vertex_errors
from onelook.evaluation.open_set_calibration import bin_by_confidence, pool_trials
from onelook.files import atomic_folder, write_json
from onelook.open_set import ImpostorModel

CURVES = {
    "precision_recall": ("recall", "precision", "score"),
    "landmark_error": ("error", "fraction", "fraction_interocular"),
    "roc": ("far", "onelook", "eigenfaces"),
    "dir_fpir": ("fpir", "onelook", "eigenfaces"),
    "reliability": ("confidence", "accuracy", "low", "high", "fraction"),
}
"""Columns of the curves that dvc.yaml plots."""
FIGURES = (*CURVES, "similarities", "mesh_error", "conditions")
"""Pictures that show no people."""


def write_evaluation(evaluation: Evaluation, manifest: Manifest, folder: Path) -> None:
    """Write metrics.json, calibration.json, curves/ and pictures/.

    The folder is replaced in one step. The same evaluation gives the same bytes. A curve for which the data are too few
    is a header without rows, since `dvc plots` fails on a file that is absent.
    """
    with atomic_folder(folder) as out:
        write_json(out / "metrics.json", _round(evaluation.metrics))
        write_json(out / "calibration.json", evaluation.calibration)
        for name in ("curves", "pictures"):
            (out / name).mkdir()
        for name in CURVES:
            _write_curve(out, name, ())
        _write_detection(evaluation, out)
        _write_landmarks(evaluation, out)
        _write_conditions(evaluation, out)
        if evaluation.meshes is not None:
            _write_meshes(evaluation, evaluation.meshes, manifest, out)
        recognition = evaluation.recognition
        if recognition is not None:
            _write_verification(recognition, evaluation.metrics, out)
            _write_identification(recognition, evaluation.metrics, out)
            _write_similarities(recognition, evaluation.metrics, out)
            result = recognition.onelook
            if result.impostor_model is not None:
                people = evaluation.metrics["counts"]["people_enrolled"]
                _write_reliability(recognition, result.impostor_model, people, out)
            sheet = ContactSheet(manifest, recognition.test, result.people, result.similarities)
            write_image(out / "pictures" / "identifications.png", sheet.draw(result.trials, result.threshold))


def _write_detection(evaluation: Evaluation, out: Path) -> None:
    counts, metrics = evaluation.metrics["counts"], evaluation.metrics
    curve = evaluation.outcomes.curve()
    points = plots.subsample_curve(curve)
    _write_curve(out, "precision_recall", points)
    title = (
        f"Detection at IoU 0.5: AP {_with_interval(metrics['detection'], 'ap50')}\n"
        f"{counts['faces']} faces in {counts['scenes']} test scenes"
    )
    plots.save_figure(out / "pictures/precision_recall.png", plots.plot_precision_recall(curve, title))


def _write_landmarks(evaluation: Evaluation, out: Path) -> None:
    counts, metrics = evaluation.metrics["counts"], evaluation.metrics["landmarks"]
    limits = np.linspace(0, 0.2, 101)
    by_size = cumulative_fraction(evaluation.errors.size_normalized, limits)
    by_eyes = cumulative_fraction(evaluation.errors.interocular, limits)
    _write_curve(out, "landmark_error", zip(limits, by_size, by_eyes, strict=True))
    title = (
        f"Landmarks: mean error {_with_interval(metrics, 'nme')} of the face size,\n"
        f"{_with_interval(metrics, 'nme_interocular')} of the distance between the eyes; "
        f"{counts['faces_with_landmark_error']} detected faces with labels"
    )
    fractions = {"face size": by_size, "distance between the eye centers": by_eyes}
    figure = plots.plot_landmark_error(limits, fractions, FAILURE_THRESHOLD, title)
    plots.save_figure(out / "pictures/landmark_error.png", figure)


def _write_conditions(evaluation: Evaluation, out: Path) -> None:
    """Write a bar per condition of the faces: AP, landmark error and rank-1."""
    conditions = evaluation.metrics["conditions"]
    plots.save_figure(out / "pictures/conditions.png", plots.plot_conditions(conditions))


def _write_meshes(evaluation: Evaluation, meshes: MeshPairs, manifest: Manifest, out: Path) -> None:
    columns = ("vertex", "error", "error_flat")
    mean_3d, mean_2d = meshes.errors_3d.mean(0), meshes.errors_2d.mean(0)
    plots.write_csv(out / "curves/mesh_error.csv", columns, zip(range(len(mean_3d)), mean_3d, mean_2d, strict=True))
    title = (
        f"Mesh: mean error {_with_interval(evaluation.metrics['mesh'], 'error')} of the face size\n"
        f"{len(meshes.errors_3d)} detected faces with a label"
    )
    plots.save_figure(out / "pictures/mesh_error.png", plot_vertex_errors(meshes.mean_shape(), mean_3d, title))
    write_image(out / "pictures/meshes.png", draw_mesh_sheet(manifest, evaluation.scenes, meshes))


def _write_verification(recognition: RecognitionEvaluation, metrics: dict[str, Any], out: Path) -> None:
    counts = metrics["counts"]
    far = np.logspace(-4, 0, 81)
    methods = {"onelook": recognition.onelook, "eigenfaces": recognition.eigenfaces}
    tar = {name: np.array([result.pairs.tar_at_far(rate) for rate in far]) for name, result in methods.items()}
    _write_curve(out, "roc", zip(far, *tar.values(), strict=True))
    title = (
        f"Verification: TAR at 1 % FAR {_with_interval(metrics['verification'], 'tar_far1')}\n"
        f"{counts['people']} people, {counts['genuine_pairs']} genuine and {counts['impostor_pairs']} impostor pairs"
    )
    figure = plots.plot_rates(
        far,
        tar,
        title=title,
        xlabel="FAR: false-accept rate of impostor pairs",
        ylabel="TAR: true-accept rate of genuine pairs (undetected faces are rejected)",
    )
    plots.save_figure(out / "pictures/roc.png", figure)


def _write_identification(recognition: RecognitionEvaluation, metrics: dict[str, Any], out: Path) -> None:
    counts = metrics["counts"]
    fpir = np.logspace(-3, 0, 61)
    methods = {"onelook": recognition.onelook, "eigenfaces": recognition.eigenfaces}
    rates = {name: np.array([dir_at_fpir(result.trials, rate) for rate in fpir]) for name, result in methods.items()}
    _write_curve(out, "dir_fpir", zip(fpir, *rates.values(), strict=True))
    title = (
        f"Open-set identification: DIR at 10 % FPIR {_with_interval(metrics['identification'], 'dir_fpir10')}\n"
        f"{counts['people_enrolled']} people enrolled, {counts['mated_trials']} mated and "
        f"{counts['non_mated_trials']} non-mated trials"
    )
    figure = plots.plot_rates(
        fpir,
        rates,
        title=title,
        xlabel="FPIR: fraction of non-mated trials above the threshold",
        ylabel="DIR: fraction of mated trials correct and above the threshold",
    )
    plots.save_figure(out / "pictures/dir_fpir.png", figure)


def _write_similarities(recognition: RecognitionEvaluation, metrics: dict[str, Any], out: Path) -> None:
    result = recognition.onelook
    title = (
        f"Similarities of the probes to {metrics['counts']['people_enrolled']} enrolled people\n"
        f"threshold calibrated on {result.calibration['people']} other people for an FPIR of "
        f"{result.calibration['target_fpir']:.0%}"
    )
    trials = result.trials
    figure = plots.plot_similarities(trials.genuine_scores, trials.non_mated_scores, result.threshold, title)
    plots.save_figure(out / "pictures/similarities.png", figure)


def _write_reliability(
    recognition: RecognitionEvaluation, impostor_model: ImpostorModel, people: int, out: Path
) -> None:
    """Write the reliability of the confidence."""
    scores, is_correct, weights = pool_trials(recognition.onelook.trials)
    diagram = bin_by_confidence(impostor_model.confidence(scores, people), is_correct, weights)
    rows = zip(diagram.confidence, diagram.accuracy, diagram.low, diagram.high, diagram.weight, strict=True)
    _write_curve(out, "reliability", rows)
    title = (
        f"Confidence: expected calibration error {diagram.expected_calibration_error():.3f}\n"
        f"calibrated on {recognition.onelook.calibration['people']} other people; half of the probes are enrolled"
    )
    plots.save_figure(out / "pictures/reliability.png", plots.plot_reliability(diagram, title))


def _write_curve(out: Path, name: str, rows: Iterable[Sequence[float]]) -> None:
    plots.write_csv(out / f"curves/{name}.csv", CURVES[name], rows)


def _with_interval(metrics: dict[str, float], name: str) -> str:
    """Format a metric with its interval, or a dash where it is undefined."""
    if name not in metrics:
        return "–"
    return f"{metrics[name]:.3f} [{metrics[name + '_low']:.3f}, {metrics[name + '_high']:.3f}]"


def _round(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _round(value) for key, value in tree.items()}
    return round(tree, 6)
