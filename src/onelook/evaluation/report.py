"""The whole evaluation of a model: figures with intervals, curves, pictures and the threshold for "unknown".

Every figure is of the test split, whose people and photos neither training nor any threshold has seen; thresholds (for
a name, and the one behind verification accuracy) are set on the validation split.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from onelook.data.photo import write_photo
from onelook.data.scene import Manifest, Scene
from onelook.errors import DataError
from onelook.evaluation import curves
from onelook.evaluation.average_precision import DetectionOutcomes
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.calibration import calibrate
from onelook.evaluation.contact_sheet import ContactSheet
from onelook.evaluation.crops import cut_crops, to_gray
from onelook.evaluation.eigenfaces import SIDE, Eigenfaces
from onelook.evaluation.identification import Trials, dir_at_fpir, identification_figures
from onelook.evaluation.landmarks import FAILURE, cumulative_share, landmark_figures
from onelook.evaluation.mesh_pictures import draw_vertex_errors, mesh_sheet
from onelook.evaluation.meshes import SeenMeshes, see_meshes
from onelook.evaluation.probes import SeenSplit, Sightings, compare, see_split, try_probes
from onelook.evaluation.verification import Pairs, make_pairs, verification_figures
from onelook.files import replacing_folder, write_json
from onelook.model.look import Looker
from onelook.settings import Settings

_ACROSS_FAR = "false-accept rate of impostor pairs"
_ACROSS_FPIR = "FPIR: share of strangers and false alarms given a name"


@dataclass(frozen=True, eq=False)
class Recognition:
    """How one kind of embedding does on the test split.

    Attributes:
        people, similarities: as `compare` returned them.
        trials, pairs: of the test split.
        calibration: the threshold for a name, set on the validation split, as calibration.json has it.
        pair_threshold: the threshold for "the same person" with the best accuracy on the validation split.
    """

    people: list[str]
    similarities: np.ndarray
    trials: Trials
    pairs: Pairs
    calibration: dict[str, Any]
    pair_threshold: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that was measured.

    Attributes:
        metrics: figures by section, with `_low` and `_high` of their 95 % intervals.
        seen: the test split as the network saw it.
        outcomes, errors: detections and landmark errors of the test split.
        meshes: found and labelled meshes of the test split, where there are any.
        onelook, eigenfaces: recognition by our embeddings, and by eigenfaces on the crops our detections give.
    """

    metrics: dict[str, Any]
    seen: SeenSplit
    outcomes: DetectionOutcomes
    errors: np.ndarray
    meshes: SeenMeshes | None
    onelook: Recognition
    eigenfaces: Recognition


def evaluate(looker: Looker, manifest: Manifest, settings: Settings) -> Evaluation:
    """Measure a model on the people and scenes it has not seen.

    Raises:
        DataError: a split has too little to measure on.
    """
    validation, test = _see(looker, manifest, settings)
    floor = _learn_eigenfaces(manifest, settings)
    ours = _recognise(looker.fingerprint, validation, test, settings)
    theirs = _recognise(
        looker.fingerprint,
        _with_eigenfaces(floor, manifest, validation),
        _with_eigenfaces(floor, manifest, test),
        settings,
    )
    outcomes = test.outcomes()
    errors, error_scenes = test.errors(settings.evaluate.iou, settings.detect.score)
    meshes = see_meshes(test, manifest, settings.evaluate.iou, settings.detect.score)
    scenes = (len(test.scenes),)
    metrics = {
        "detection": _interval(lambda weights: {"ap50": outcomes.average_precision(weights)}, scenes, settings),
        "landmarks": _interval(lambda weights: landmark_figures(errors, weights[error_scenes]), scenes, settings),
        **({} if meshes is None else {"mesh": _interval(meshes.figures, scenes, settings)}),
        **_recognition_figures(ours, test.probes, settings),
        "eigenfaces": _recognition_figures(theirs, test.probes, settings),
        "counts": _counts(test, ours, errors),
    }
    return Evaluation(metrics, test, outcomes, errors, meshes, ours, theirs)


def write_evaluation(evaluation: Evaluation, manifest: Manifest, folder: Path) -> None:
    """Write metrics.json, calibration.json, curves/ and pictures/; the same evaluation gives the same bytes.

    The folder is replaced in one step.
    """
    with replacing_folder(folder) as out:
        write_json(out / "metrics.json", _rounded(evaluation.metrics))
        write_json(out / "calibration.json", evaluation.onelook.calibration)
        for name in ("curves", "pictures"):
            (out / name).mkdir()
        _write_detection(evaluation, out)
        if evaluation.meshes is not None:
            _write_meshes(evaluation, evaluation.meshes, manifest, out)
        _write_recognition(evaluation, out)
        ours = evaluation.onelook
        sheet = ContactSheet(manifest, evaluation.seen, ours.people, ours.similarities)
        drawn = sheet.draw(ours.trials, ours.calibration["threshold"])
        write_photo(out / "pictures" / "identifications.png", drawn)


def _see(looker: Looker, manifest: Manifest, settings: Settings) -> tuple[SeenSplit, SeenSplit]:
    """Look at the validation and the test split."""
    looks = sum(
        2 * len(manifest.select(split)) + len(manifest.select(split, "enrol")) for split in ("validation", "test")
    )
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("looking at scenes", total=looks)

        def advance(photos: int) -> None:
            progress.advance(task, photos)

        return (
            see_split(looker, manifest, "validation", settings, advance),
            see_split(looker, manifest, "test", settings, advance),
        )


def _learn_eigenfaces(manifest: Manifest, settings: Settings) -> Eigenfaces:
    """Eigenfaces of the training people, aligned by their labelled landmarks."""
    scenes = manifest.select("train")
    faces = [
        (place, face.landmarks)
        for place, scene in enumerate(scenes)
        for face in scene.faces
        if face.identity is not None and np.isfinite(face.landmarks).all()
    ]
    if len(faces) < 3:
        raise DataError(f"{manifest.root}: {len(faces)} training faces have landmarks; eigenfaces need three")
    places, landmarks = np.array([face[0] for face in faces]), np.array([face[1] for face in faces])
    crops = to_gray(cut_crops(manifest, scenes, places, landmarks, SIDE))
    return Eigenfaces(crops, settings.evaluate.eigenfaces, settings.base.seed)


def _with_eigenfaces(floor: Eigenfaces, manifest: Manifest, seen: SeenSplit) -> SeenSplit:
    """The same sightings, embedded by eigenfaces from crops aligned by our detections' landmarks."""

    def embed(sightings: Sightings, scenes: Sequence[Scene]) -> Sightings:
        found = sightings.found
        crops = cut_crops(manifest, scenes, sightings.scenes[found], sightings.landmarks[found], SIDE)
        rows = floor.embed(to_gray(crops))
        embeddings = np.full((len(found), rows.shape[1]), np.nan, np.float32)
        embeddings[found] = rows
        return replace(sightings, embeddings=embeddings)

    return replace(seen, probes=embed(seen.probes, seen.scenes), enrolled=embed(seen.enrolled, seen.enrolments))


def _recognise(fingerprint: str, validation: SeenSplit, test: SeenSplit, settings: Settings) -> Recognition:
    known = try_probes(validation.probes, *compare(validation.probes, validation.enrolled))
    target = settings.evaluate.target_fpir
    calibration = calibrate(known, target_fpir=target, fingerprint=fingerprint, detect=settings.detect)
    people, similarities = compare(test.probes, test.enrolled)
    return Recognition(
        people=people,
        similarities=similarities,
        trials=try_probes(test.probes, people, similarities),
        pairs=_pairs(test.probes, settings),
        calibration=calibration,
        pair_threshold=_pairs(validation.probes, settings).best_threshold(),
    )


def _pairs(probes: Sightings, settings: Settings) -> Pairs:
    faces = probes.labelled
    people, _ = probes.units()
    return make_pairs(probes.embeddings[faces], people[faces], probes.sources[faces], settings.base.seed)


def _recognition_figures(recognition: Recognition, probes: Sightings, settings: Settings) -> dict[str, Any]:
    _, (people, alarms) = probes.units()
    threshold, large = recognition.calibration["threshold"], settings.evaluate.large
    return {
        "verification": _interval(
            lambda weights: verification_figures(recognition.pairs, recognition.pair_threshold, weights),
            (people,),
            settings,
        ),
        "identification": _interval(
            lambda weights: identification_figures(
                recognition.trials, large=large, threshold=threshold, weights=weights
            ),
            (people, alarms),
            settings,
        ),
    }


def _interval(figures: Any, strata: Sequence[int], settings: Settings) -> dict[str, float]:
    return with_intervals(figures, strata, settings.evaluate.bootstrap, settings.base.seed)


def _counts(test: SeenSplit, ours: Recognition, errors: np.ndarray) -> dict[str, int]:
    labelled, found = test.probes.labelled, test.probes.found
    enrolment_faces = test.enrolled.labelled
    return {
        "people": len({identity for identity in test.probes.identities if identity is not None}),
        "scenes": len(test.scenes),
        "faces": sum(len(scene.faces) for scene in test.scenes),
        "probes": int(labelled.sum()),
        "probes_found": int((labelled & found).sum()),
        "false_alarms": int((~labelled).sum()),
        "faces_with_landmark_error": int(np.isfinite(errors).sum()),
        "people_enrolled": len(ours.people),
        "enrolment_photos": int(enrolment_faces.sum()),
        "enrolment_photos_missed": int((enrolment_faces & ~test.enrolled.found).sum()),
        "mated_trials": len(ours.trials.rows),
        "non_mated_trials": len(ours.trials.other_scores),
        "genuine_pairs": len(ours.pairs.genuine_scores),
        "impostor_pairs": len(ours.pairs.impostor_scores),
    }


def _write_detection(evaluation: Evaluation, out: Path) -> None:
    counts, metrics = evaluation.metrics["counts"], evaluation.metrics
    curve = evaluation.outcomes.curve()
    curves.write_table(out / "curves/precision_recall.csv", ("recall", "precision", "score"), curves.thin(curve))
    title = (
        f"Detection at IoU 0.5: AP {_shown(metrics['detection'], 'ap50')}\n"
        f"{counts['faces']} faces in {counts['scenes']} scenes never trained on"
    )
    curves.save_picture(out / "pictures/precision_recall.png", curves.draw_precision_recall(curve, title))
    at = np.linspace(0, 0.2, 101)
    share = cumulative_share(evaluation.errors, at)
    curves.write_table(out / "curves/landmark_error.csv", ("error", "share"), zip(at, share, strict=True))
    title = (
        f"Landmarks: mean error {_shown(metrics['landmarks'], 'nme')} of the face size\n"
        f"{counts['faces_with_landmark_error']} found faces, points with a label"
    )
    curves.save_picture(out / "pictures/landmark_error.png", curves.draw_landmark_error(at, share, FAILURE, title))


def _write_meshes(evaluation: Evaluation, meshes: SeenMeshes, manifest: Manifest, out: Path) -> None:
    figures = evaluation.metrics["mesh"]
    columns = ("vertex", "error", "error_flat")
    rows = zip(range(meshes.solid.shape[1]), meshes.solid.mean(0), meshes.flat.mean(0), strict=True)
    curves.write_table(out / "curves/mesh_error.csv", columns, rows)
    title = (
        f"Mesh: mean error {_shown(figures, 'error')} of the face size\n{len(meshes.solid)} found faces with a label"
    )
    drawn = draw_vertex_errors(meshes.mean_shape(), meshes.solid.mean(0), title)
    curves.save_picture(out / "pictures/mesh_error.png", drawn)
    write_photo(out / "pictures/meshes.png", mesh_sheet(manifest, evaluation.seen.scenes, meshes))


def _write_recognition(evaluation: Evaluation, out: Path) -> None:
    counts, metrics = evaluation.metrics["counts"], evaluation.metrics
    methods = {"onelook": evaluation.onelook, "eigenfaces": evaluation.eigenfaces}
    far = np.logspace(-4, 0, 81)
    accepted = {name: np.array([method.pairs.tar_at_far(rate) for rate in far]) for name, method in methods.items()}
    curves.write_table(out / "curves/roc.csv", ("far", *accepted), zip(far, *accepted.values(), strict=True))
    title = (
        f"Verification: true-accept rate at 1 % FAR {_shown(metrics['verification'], 'tar_far1')}\n"
        f"{counts['people']} people, {counts['genuine_pairs']} genuine and {counts['impostor_pairs']} impostor pairs"
    )
    upwards = "true-accept rate of genuine pairs (a face not found: refused)"
    drawn = curves.draw_rates(far, accepted, title=title, across=_ACROSS_FAR, upwards=upwards)
    curves.save_picture(out / "pictures/roc.png", drawn)

    fpir = np.logspace(-3, 0, 61)
    identified = {
        name: np.array([dir_at_fpir(method.trials, rate) for rate in fpir]) for name, method in methods.items()
    }
    curves.write_table(out / "curves/dir_fpir.csv", ("fpir", *identified), zip(fpir, *identified.values(), strict=True))
    title = (
        f"Open-set identification: DIR at 10 % FPIR {_shown(metrics['identification'], 'dir_fpir10')}\n"
        f"{counts['people_enrolled']} people enrolled, {counts['mated_trials']} mated and "
        f"{counts['non_mated_trials']} non-mated probes"
    )
    upwards = "DIR: share of enrolled people's faces found and named right"
    drawn = curves.draw_rates(fpir, identified, title=title, across=_ACROSS_FPIR, upwards=upwards)
    curves.save_picture(out / "pictures/dir_fpir.png", drawn)

    ours = evaluation.onelook
    threshold, target = ours.calibration["threshold"], ours.calibration["target_fpir"]
    title = (
        f"Similarities of {counts['people_enrolled']} people's faces\n"
        f"threshold set on {ours.calibration['people']} other people for an FPIR of {target:.0%}"
    )
    drawn = curves.draw_similarities(ours.trials.genuine, ours.trials.other_scores, threshold, title)
    curves.save_picture(out / "pictures/similarities.png", drawn)


def _shown(figures: dict[str, float], name: str) -> str:
    """A figure with its interval, or a dash where there was nothing to measure."""
    if name not in figures:
        return "–"
    return f"{figures[name]:.3f} [{figures[name + '_low']:.3f}, {figures[name + '_high']:.3f}]"


def _rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    return round(tree, 6)
