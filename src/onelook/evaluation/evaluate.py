"""Evaluation of a model: metrics of the test split with intervals, and the calibrated open-set threshold.

The people and photos of the test split are neither in the training nor in the validation split. Thresholds, for
identification and for verification accuracy, are set on the validation split. Scenes without identities have detection
and landmark metrics only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.progress import Progress

from onelook.data.manifest import Manifest, Scene
from onelook.errors import DataError
from onelook.evaluation.average_precision import DetectionOutcomes
from onelook.evaluation.bootstrap import bootstrap_intervals
from onelook.evaluation.conditions import condition_metrics, measure_conditions
from onelook.evaluation.landmarks import LandmarkErrors, landmark_metrics
from onelook.evaluation.mesh_error import MeshPairs, pair_meshes
from onelook.evaluation.open_set_calibration import make_null_calibration
from onelook.evaluation.recognition import (
    RecognitionResult,
    evaluate_crops,
    evaluate_embeddings,
    evaluate_recognition,
    recognition_metrics,
)
from onelook.evaluation.split_predictions import SplitDetections, SplitEmbeddings, detect_split, embed_split
from onelook.inference.baseline_predictors import Baseline, CropEmbedder, MtcnnPredictor
from onelook.inference.landmark_cascade import CascadePointsPredictor, LandmarkPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.logs import stderr_console
from onelook.settings import BaselineName, Settings


@dataclass(frozen=True, eq=False)
class RecognitionEvaluation:
    """Recognition of the test people.

    Attributes:
        test: the test split with the network's embeddings.
        onelook, eigenfaces: results by the network's embeddings, and by eigenfaces on the same detections.
    """

    test: SplitEmbeddings
    onelook: RecognitionResult
    eigenfaces: RecognitionResult


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The complete evaluation of a model.

    Attributes:
        metrics: by section, with `_low` and `_high` of their 95 % intervals.
        scenes: of the test split.
        outcomes, errors: its detection outcomes and landmark errors.
        meshes: its predicted and labeled meshes, where there are any.
        calibration: content of calibration.json; the threshold is None without identities.
        recognition: None without identities.
    """

    metrics: dict[str, Any]
    scenes: list[Scene]
    outcomes: DetectionOutcomes
    errors: LandmarkErrors
    meshes: MeshPairs | None
    calibration: dict[str, Any]
    recognition: RecognitionEvaluation | None


def evaluate(
    predictor: TorchPredictor,
    manifest: Manifest,
    settings: Settings,
    baselines: Mapping[BaselineName, Baseline] | None = None,
) -> Evaluation:
    """Evaluate a model on the test split, and beside it the trained baselines.

    Args:
        predictor: of the model.
        manifest: of the scenes.
        settings: of the pipeline.
        baselines: by name; detectors on the same scenes, recognizers on the model's detections, landmark cascades in
            its boxes, with its embeddings at their points. None for none.

    Raises:
        DataError: a split has too few scenes or people.
    """
    recognition = splits = None
    if not manifest.detection_only:
        splits = _embed_splits(predictor, manifest, settings)
        results = evaluate_recognition(predictor.fingerprint, manifest, *splits, settings)
        recognition = RecognitionEvaluation(splits[1], *results)
    detections = _detect_test_split(predictor, manifest, settings) if recognition is None else recognition.test
    outcomes = detections.outcomes()
    errors = detections.landmark_errors(settings.evaluate.iou, settings.detect.score)
    meshes = pair_meshes(detections, manifest, settings.evaluate.iou, settings.detect.score)
    metrics = _scene_metrics(detections, outcomes, errors, meshes, settings)
    calibration = make_null_calibration(settings.evaluate.target_fpir, predictor.fingerprint, settings.detect)
    if recognition is not None:
        metrics |= recognition_metrics(recognition.onelook, recognition.test.probes, settings)
        metrics["eigenfaces"] = recognition_metrics(recognition.eigenfaces, recognition.test.probes, settings)
        metrics["counts"] |= _recognition_counts(recognition)
        calibration = recognition.onelook.calibration
    conditions = measure_conditions(manifest, detections.scenes, settings.evaluate.large_face_size)
    trials = None if recognition is None else recognition.onelook.trials
    metrics["conditions"] = condition_metrics(conditions, detections, errors, trials)
    measured = {
        name: _baseline_metrics(baseline, predictor, manifest, splits, settings)
        for name, baseline in (baselines or {}).items()
    }
    if measured:
        metrics["baselines"] = measured
    return Evaluation(metrics, detections.scenes, outcomes, errors, meshes, calibration, recognition)


def _baseline_metrics(
    baseline: Baseline,
    predictor: TorchPredictor,
    manifest: Manifest,
    splits: tuple[SplitEmbeddings, SplitEmbeddings] | None,
    settings: Settings,
) -> dict[str, Any]:
    """Compute the sections of a baseline: those of detection, or those of recognition."""
    if isinstance(baseline, MtcnnPredictor):
        detections = detect_split(baseline, manifest, "test", settings.detect)
        errors = detections.landmark_errors(settings.evaluate.iou, settings.detect.score)
        return _scene_metrics(detections, detections.outcomes(), errors, None, settings)
    if isinstance(baseline, LandmarkPredictor):
        return _landmark_baseline_metrics(CascadePointsPredictor(predictor, baseline), predictor, manifest, settings)
    assert isinstance(baseline, CropEmbedder)
    if splits is None:
        raise DataError("evaluate: nobody has a name here, so a baseline of recognition cannot be evaluated")
    embed, size = baseline.embed, baseline.size
    result = evaluate_crops(predictor.fingerprint, manifest, *splits, settings, embed, size)
    return recognition_metrics(result, splits[1].probes, settings)


def _landmark_baseline_metrics(
    at_points: CascadePointsPredictor, predictor: TorchPredictor, manifest: Manifest, settings: Settings
) -> dict[str, Any]:
    """Compute the section `landmarks` of a cascade and, of people with names, those of recognition at its points."""
    iou, score = settings.evaluate.iou, settings.detect.score
    if manifest.detection_only:
        test = detect_split(at_points, manifest, "test", settings.detect)
        return _select_landmarks(test, test.landmark_errors(iou, score), settings)
    validation = embed_split(at_points, manifest, "validation", settings)
    test = embed_split(at_points, manifest, "test", settings)
    result = evaluate_embeddings(predictor.fingerprint, validation, test, settings)
    landmarks = _select_landmarks(test, test.landmark_errors(iou, score), settings)
    return landmarks | recognition_metrics(result, test.probes, settings)


def _select_landmarks(detections: SplitDetections, errors: LandmarkErrors, settings: Settings) -> dict[str, Any]:
    return {"landmarks": _scene_metrics(detections, detections.outcomes(), errors, None, settings)["landmarks"]}


def _embed_splits(
    predictor: TorchPredictor, manifest: Manifest, settings: Settings
) -> tuple[SplitEmbeddings, SplitEmbeddings]:
    """Embed the validation and the test split, with a progress bar."""
    images = sum(
        2 * len(manifest.select(split)) + len(manifest.select(split, "enroll")) for split in ("validation", "test")
    )
    with Progress(console=stderr_console()) as progress:
        task = progress.add_task("evaluating scenes", total=images)

        def advance(done: int) -> None:
            progress.advance(task, done)

        return (
            embed_split(predictor, manifest, "validation", settings, advance),
            embed_split(predictor, manifest, "test", settings, advance),
        )


def _detect_test_split(predictor: TorchPredictor, manifest: Manifest, settings: Settings) -> SplitDetections:
    """Detect faces in the test split, with a progress bar."""
    with Progress(console=stderr_console()) as progress:
        task = progress.add_task("evaluating scenes", total=len(manifest.select("test")))
        return detect_split(predictor, manifest, "test", settings.detect, lambda done: progress.advance(task, done))


def _scene_metrics(
    detections: SplitDetections,
    outcomes: DetectionOutcomes,
    errors: LandmarkErrors,
    meshes: MeshPairs | None,
    settings: Settings,
) -> dict[str, Any]:
    """Compute detection, landmark and mesh metrics, with intervals over scenes."""

    def detection(weights: np.ndarray) -> dict[str, float]:
        return {"ap50": outcomes.average_precision(weights)}

    def landmarks(weights: np.ndarray) -> dict[str, float]:
        face_weights = weights[errors.scenes]
        interocular = landmark_metrics(errors.interocular, face_weights)
        by_size = landmark_metrics(errors.size_normalized, face_weights)
        return by_size | {f"{name}_interocular": value for name, value in interocular.items()}

    strata, samples, seed = (len(detections.scenes),), settings.evaluate.bootstrap_samples, settings.base.seed
    metrics: dict[str, Any] = {
        "detection": bootstrap_intervals(detection, strata, samples, seed),
        "landmarks": bootstrap_intervals(landmarks, strata, samples, seed),
        "counts": _scene_counts(detections, errors),
    }
    if meshes is not None:
        metrics["mesh"] = bootstrap_intervals(meshes.metrics, strata, samples, seed)
    return metrics


def _scene_counts(detections: SplitDetections, errors: LandmarkErrors) -> dict[str, int]:
    counts = {
        "scenes": len(detections.scenes),
        "faces": sum(len(scene.faces) for scene in detections.scenes),
        "faces_with_landmark_error": int(np.isfinite(errors.size_normalized).sum()),
    }
    ignored = sum(len(scene.ignored) for scene in detections.scenes)
    return counts | ({"ignored": ignored} if ignored else {})


def _recognition_counts(recognition: RecognitionEvaluation) -> dict[str, int]:
    probes, enrolled, result = recognition.test.probes, recognition.test.enrolled, recognition.onelook
    return {
        "people": len({identity for identity in probes.identities if identity is not None}),
        "probes": int(probes.is_labeled.sum()),
        "probes_found": int((probes.is_labeled & probes.is_detected).sum()),
        "false_alarms": int((~probes.is_labeled).sum()),
        "people_enrolled": len(result.people),
        "enrollment_photos": len(enrolled.identities),
        "enrollment_photos_missed": int((~enrolled.is_detected).sum()),
        "mated_trials": len(result.trials.probe_rows),
        "non_mated_trials": len(result.trials.non_mated_scores),
        "genuine_pairs": len(result.pairs.genuine_scores),
        "impostor_pairs": len(result.pairs.impostor_scores),
    }
