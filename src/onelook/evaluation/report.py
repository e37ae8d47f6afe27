"""The whole evaluation of a model: figures with intervals, curves, pictures and the threshold for "unknown".

Every figure is of the test split, whose people and photos neither training nor any threshold has seen; thresholds (for
a name, and the one behind verification accuracy) are set on the validation split. Where nobody has a name, there are
the figures of detection alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from onelook.data.image_io import write_image
from onelook.data.manifest import Manifest, Scene
from onelook.evaluation import plots
from onelook.evaluation.average_precision import DetectionOutcomes
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.calibration import shown_trials, uncalibrated
from onelook.evaluation.contact_sheet import ContactSheet
from onelook.evaluation.identification import dir_at_fpir
from onelook.evaluation.landmarks import FAILURE, LandmarkErrors, cumulative_share, landmark_figures
from onelook.evaluation.mesh_error import MeshPairs, pair_meshes
from onelook.evaluation.mesh_pictures import draw_vertex_errors, mesh_sheet
from onelook.evaluation.probe_set import SplitDetections, SplitEmbeddings, detect_split, evaluate_split
from onelook.evaluation.recognition import Recognition, recognition_figures, recognize
from onelook.evaluation.reliability import reliability
from onelook.files import replacing_folder, write_json
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings

_ACROSS_FAR = "false-accept rate of impostor pairs"
_ACROSS_FPIR = "FPIR: share of strangers and false alarms given a name"


@dataclass(frozen=True, eq=False)
class PeopleEvaluation:
    """Recognition of the test people.

    Attributes:
        seen: the test split as the network saw it.
        onelook, eigenfaces: recognition by our embeddings, and by eigenfaces on the crops our detections give.
    """

    seen: SplitEmbeddings
    onelook: Recognition
    eigenfaces: Recognition


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that was measured.

    Attributes:
        metrics: figures by section, with `_low` and `_high` of their 95 % intervals.
        scenes: of the test split.
        outcomes, errors: its detections and landmark errors.
        meshes: its found and labeled meshes, where there are any.
        calibration: as calibration.json has it; its threshold is None where nobody has a name.
        people: recognition; None where nobody has a name.
    """

    metrics: dict[str, Any]
    scenes: list[Scene]
    outcomes: DetectionOutcomes
    errors: LandmarkErrors
    meshes: MeshPairs | None
    calibration: dict[str, Any]
    people: PeopleEvaluation | None


def evaluate(looker: TorchPredictor, manifest: Manifest, settings: Settings) -> Evaluation:
    """Measure a model on the people and scenes it has not seen; on scenes alone where nobody has a name.

    Raises:
        DataError: a split has too little to measure on.
    """
    people = None
    if not manifest.nameless:
        validation, test = _see(looker, manifest, settings)
        people = PeopleEvaluation(test, *recognize(looker.fingerprint, manifest, validation, test, settings))
    found = people.seen if people is not None else _find(looker, manifest, settings)
    outcomes = found.outcomes()
    errors = found.errors(settings.evaluate.iou, settings.detect.score)
    meshes = pair_meshes(found, manifest, settings.evaluate.iou, settings.detect.score)
    scenes = (len(found.scenes),)
    metrics: dict[str, Any] = {
        "detection": _interval(lambda weights: {"ap50": outcomes.average_precision(weights)}, scenes, settings),
        "landmarks": _interval(lambda weights: _landmark_figures(errors, weights), scenes, settings),
        "counts": _counts(found, errors),
    }
    if meshes is not None:
        metrics["mesh"] = _interval(meshes.figures, scenes, settings)
    calibration = uncalibrated(settings.evaluate.target_fpir, looker.fingerprint, settings.detect)
    if people is not None:
        metrics |= recognition_figures(people.onelook, people.seen.probes, settings)
        metrics["eigenfaces"] = recognition_figures(people.eigenfaces, people.seen.probes, settings)
        metrics["counts"] |= _people_counts(people)
        calibration = people.onelook.calibration
    return Evaluation(metrics, found.scenes, outcomes, errors, meshes, calibration, people)


def write_evaluation(evaluation: Evaluation, manifest: Manifest, folder: Path) -> None:
    """Write metrics.json, calibration.json, curves/ and pictures/; the same evaluation gives the same bytes.

    The folder is replaced in one step.
    """
    with replacing_folder(folder) as out:
        write_json(out / "metrics.json", _rounded(evaluation.metrics))
        write_json(out / "calibration.json", evaluation.calibration)
        for name in ("curves", "pictures"):
            (out / name).mkdir()
        _write_detection(evaluation, out)
        if evaluation.meshes is not None:
            _write_meshes(evaluation, evaluation.meshes, manifest, out)
        if evaluation.people is not None:
            _write_recognition(evaluation.people, evaluation.metrics, out)
            ours = evaluation.people.onelook
            sheet = ContactSheet(manifest, evaluation.people.seen, ours.people, ours.similarities)
            drawn = sheet.draw(ours.trials, ours.threshold)
            write_image(out / "pictures" / "identifications.png", drawn)


def _see(looker: TorchPredictor, manifest: Manifest, settings: Settings) -> tuple[SplitEmbeddings, SplitEmbeddings]:
    """Look at the validation and the test split."""
    looks = sum(
        2 * len(manifest.select(split)) + len(manifest.select(split, "enroll")) for split in ("validation", "test")
    )
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("looking at scenes", total=looks)

        def advance(photos: int) -> None:
            progress.advance(task, photos)

        return (
            evaluate_split(looker, manifest, "validation", settings, advance),
            evaluate_split(looker, manifest, "test", settings, advance),
        )


def _find(looker: TorchPredictor, manifest: Manifest, settings: Settings) -> SplitDetections:
    """Look for faces in the test split."""
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("looking at scenes", total=len(manifest.select("test")))
        return detect_split(looker, manifest, "test", settings.detect, lambda photos: progress.advance(task, photos))


def _landmark_figures(errors: LandmarkErrors, weights: np.ndarray) -> dict[str, float]:
    """Figures of the faces in scenes that count `weights` (scenes,) times."""
    counted = weights[errors.scenes]
    by_eyes = landmark_figures(errors.by_eyes, counted)
    return landmark_figures(errors.by_size, counted) | {f"{name}_interocular": by_eyes[name] for name in by_eyes}


def _interval(figures: Any, strata: Sequence[int], settings: Settings) -> dict[str, float]:
    return with_intervals(figures, strata, settings.evaluate.bootstrap_samples, settings.base.seed)


def _counts(found: SplitDetections, errors: LandmarkErrors) -> dict[str, int]:
    counts = {
        "scenes": len(found.scenes),
        "faces": sum(len(scene.faces) for scene in found.scenes),
        "faces_with_landmark_error": int(np.isfinite(errors.by_size).sum()),
    }
    ignored = sum(len(scene.ignored) for scene in found.scenes)
    return counts | ({"ignored": ignored} if ignored else {})


def _people_counts(people: PeopleEvaluation) -> dict[str, int]:
    test, ours = people.seen, people.onelook
    labeled, found = test.probes.labeled, test.probes.found
    enrollment_faces = test.enrolled.labeled
    return {
        "people": len({identity for identity in test.probes.identities if identity is not None}),
        "probes": int(labeled.sum()),
        "probes_found": int((labeled & found).sum()),
        "false_alarms": int((~labeled).sum()),
        "people_enrolled": len(ours.people),
        "enrollment_photos": int(enrollment_faces.sum()),
        "enrollment_photos_missed": int((enrollment_faces & ~test.enrolled.found).sum()),
        "mated_trials": len(ours.trials.rows),
        "non_mated_trials": len(ours.trials.other_scores),
        "genuine_pairs": len(ours.pairs.genuine_scores),
        "impostor_pairs": len(ours.pairs.impostor_scores),
    }


def _write_detection(evaluation: Evaluation, out: Path) -> None:
    counts, metrics = evaluation.metrics["counts"], evaluation.metrics
    curve = evaluation.outcomes.curve()
    plots.write_table(out / "curves/precision_recall.csv", ("recall", "precision", "score"), plots.thin(curve))
    title = (
        f"Detection at IoU 0.5: AP {_shown(metrics['detection'], 'ap50')}\n"
        f"{counts['faces']} faces in {counts['scenes']} scenes never trained on"
    )
    plots.save_picture(out / "pictures/precision_recall.png", plots.draw_precision_recall(curve, title))
    at = np.linspace(0, 0.2, 101)
    by_size, by_eyes = (cumulative_share(each, at) for each in (evaluation.errors.by_size, evaluation.errors.by_eyes))
    columns = ("error", "share", "share_interocular")
    plots.write_table(out / "curves/landmark_error.csv", columns, zip(at, by_size, by_eyes, strict=True))
    title = (
        f"Landmarks: mean error {_shown(metrics['landmarks'], 'nme')} of the face size,\n"
        f"{_shown(metrics['landmarks'], 'nme_interocular')} of the distance of its eyes; "
        f"{counts['faces_with_landmark_error']} found faces, points with a label"
    )
    shares = {"face size": by_size, "distance of the eyes' centers": by_eyes}
    plots.save_picture(out / "pictures/landmark_error.png", plots.draw_landmark_error(at, shares, FAILURE, title))


def _write_meshes(evaluation: Evaluation, meshes: MeshPairs, manifest: Manifest, out: Path) -> None:
    columns = ("vertex", "error", "error_flat")
    rows = zip(range(meshes.solid.shape[1]), meshes.solid.mean(0), meshes.flat.mean(0), strict=True)
    plots.write_table(out / "curves/mesh_error.csv", columns, rows)
    title = (
        f"Mesh: mean error {_shown(evaluation.metrics['mesh'], 'error')} of the face size\n"
        f"{len(meshes.solid)} found faces with a label"
    )
    drawn = draw_vertex_errors(meshes.mean_shape(), meshes.solid.mean(0), title)
    plots.save_picture(out / "pictures/mesh_error.png", drawn)
    write_image(out / "pictures/meshes.png", mesh_sheet(manifest, evaluation.scenes, meshes))


def _write_recognition(people: PeopleEvaluation, metrics: dict[str, Any], out: Path) -> None:
    counts = metrics["counts"]
    methods = {"onelook": people.onelook, "eigenfaces": people.eigenfaces}
    far = np.logspace(-4, 0, 81)
    accepted = {name: np.array([method.pairs.tar_at_far(rate) for rate in far]) for name, method in methods.items()}
    plots.write_table(out / "curves/roc.csv", ("far", *accepted), zip(far, *accepted.values(), strict=True))
    title = (
        f"Verification: true-accept rate at 1 % FAR {_shown(metrics['verification'], 'tar_far1')}\n"
        f"{counts['people']} people, {counts['genuine_pairs']} genuine and {counts['impostor_pairs']} impostor pairs"
    )
    upwards = "true-accept rate of genuine pairs (a face not found: refused)"
    drawn = plots.draw_rates(far, accepted, title=title, across=_ACROSS_FAR, upwards=upwards)
    plots.save_picture(out / "pictures/roc.png", drawn)

    fpir = np.logspace(-3, 0, 61)
    identified = {
        name: np.array([dir_at_fpir(method.trials, rate) for rate in fpir]) for name, method in methods.items()
    }
    plots.write_table(out / "curves/dir_fpir.csv", ("fpir", *identified), zip(fpir, *identified.values(), strict=True))
    title = (
        f"Open-set identification: DIR at 10 % FPIR {_shown(metrics['identification'], 'dir_fpir10')}\n"
        f"{counts['people_enrolled']} people enrolled, {counts['mated_trials']} mated and "
        f"{counts['non_mated_trials']} non-mated probes"
    )
    upwards = "DIR: share of enrolled people's faces found and named right"
    drawn = plots.draw_rates(fpir, identified, title=title, across=_ACROSS_FPIR, upwards=upwards)
    plots.save_picture(out / "pictures/dir_fpir.png", drawn)

    ours = people.onelook
    target = ours.calibration["target_fpir"]
    title = (
        f"Similarities of {counts['people_enrolled']} people's faces\n"
        f"threshold set on {ours.calibration['people']} other people for an FPIR of {target:.0%}"
    )
    drawn = plots.draw_similarities(ours.trials.genuine, ours.trials.other_scores, ours.threshold, title)
    plots.save_picture(out / "pictures/similarities.png", drawn)
    if ours.unknown is not None:
        _write_reliability(ours, counts["people_enrolled"], out)


def _write_reliability(ours: Recognition, people: int, out: Path) -> None:
    """How often names of a confidence were right."""
    assert ours.unknown is not None
    scores, right, weights = shown_trials(ours.trials)
    bins = reliability(ours.unknown.confidence(scores, people), right, weights)
    columns = ("confidence", "right", "low", "high", "share")
    rows = zip(bins.confidence, bins.right, bins.low, bins.high, bins.share, strict=True)
    plots.write_table(out / "curves/reliability.csv", columns, rows)
    title = (
        f"Confidence: expected calibration error {bins.error():.3f}\n"
        f"set on {ours.calibration['people']} other people; half of the faces shown are of enrolled people"
    )
    plots.save_picture(out / "pictures/reliability.png", plots.draw_reliability(bins, title))


def _shown(figures: dict[str, float], name: str) -> str:
    """A figure with its interval, or a dash where there was nothing to measure."""
    if name not in figures:
        return "–"
    return f"{figures[name]:.3f} [{figures[name + '_low']:.3f}, {figures[name + '_high']:.3f}]"


def _rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    return round(tree, 6)
