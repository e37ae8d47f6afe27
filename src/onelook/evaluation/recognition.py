"""Recognition on the test split: by the network's embeddings, by eigenfaces, and by other embeddings of crops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onelook.data.manifest import Manifest, Scene
from onelook.errors import DataError
from onelook.evaluation.bootstrap import bootstrap_intervals
from onelook.evaluation.eigenfaces import SIDE, Eigenfaces, align_faces, to_gray
from onelook.evaluation.identification import Trials, identification_metrics
from onelook.evaluation.open_set_calibration import calibrate, fit_impostor_model
from onelook.evaluation.probe_set import ProbeSet, mate_columns, run_probe_trials, score_matrix
from onelook.evaluation.split_predictions import SplitEmbeddings
from onelook.evaluation.verification import VerificationPairs, score_pairs, verification_metrics
from onelook.open_set import ImpostorModel
from onelook.settings import Settings


@dataclass(frozen=True, eq=False)
class RecognitionResult:
    """The recognition results of one kind of embedding on the test split.

    Attributes:
        people, similarities: of the test split, from `score_matrix`.
        trials, pairs: of the test split.
        calibration: content of calibration.json, from the validation split.
        impostor_model: its model for a gallery of any size; None where it could not be fitted.
        threshold: the identification threshold for the number of people enrolled in the test split.
        pair_threshold: the verification threshold with the best accuracy on the validation split.
    """

    people: list[str]
    similarities: np.ndarray
    trials: Trials
    pairs: VerificationPairs
    calibration: dict[str, Any]
    impostor_model: ImpostorModel | None
    threshold: float
    pair_threshold: float


def evaluate_recognition(
    fingerprint: str, manifest: Manifest, validation: SplitEmbeddings, test: SplitEmbeddings, settings: Settings
) -> tuple[RecognitionResult, RecognitionResult]:
    """Evaluate recognition by the network's embeddings, and by eigenfaces.

    Args:
        fingerprint: of the model.
        manifest: of the scenes.
        validation, test: the splits with the network's embeddings.
        settings: of the pipeline.

    Raises:
        DataError: a split has too few faces or people.
    """
    eigenfaces = _fit_eigenfaces(manifest, settings)
    network_result = evaluate_embeddings(fingerprint, validation, test, settings)

    def embed(crops: np.ndarray) -> np.ndarray:
        return eigenfaces.embed(to_gray(crops))

    return network_result, evaluate_crops(fingerprint, manifest, validation, test, settings, embed, SIDE)


def evaluate_crops(
    fingerprint: str,
    manifest: Manifest,
    validation: SplitEmbeddings,
    test: SplitEmbeddings,
    settings: Settings,
    embed: Callable[[np.ndarray], np.ndarray],
    side: int,
) -> RecognitionResult:
    """Evaluate recognition by embeddings of crops, aligned by the network's landmarks.

    Args:
        fingerprint: of the model.
        manifest: of the scenes.
        validation, test: the splits with the network's detections.
        settings: of the pipeline.
        embed: maps crops (n, side, side, 3) uint8 to rows (n, d), L2-normalized.
        side: of a crop, in pixels.

    Raises:
        DataError: a split has too few faces or people.
    """
    validation, test = (_embed_crops(manifest, split, embed, side) for split in (validation, test))
    return evaluate_embeddings(fingerprint, validation, test, settings)


def recognition_metrics(result: RecognitionResult, probes: ProbeSet, settings: Settings) -> dict[str, Any]:
    """Compute the sections `verification` and `identification`, with intervals over people."""
    _, (people, false_positives) = probes.bootstrap_units()
    samples, seed = settings.evaluate.bootstrap_samples, settings.base.seed

    def verification(weights: np.ndarray) -> dict[str, float]:
        return verification_metrics(result.pairs, result.pair_threshold, weights)

    def identification(weights: np.ndarray) -> dict[str, float]:
        return identification_metrics(
            result.trials,
            large_face_size=settings.evaluate.large_face_size,
            threshold=result.threshold,
            weights=weights,
        )

    return {
        "verification": bootstrap_intervals(verification, (people,), samples, seed),
        "identification": bootstrap_intervals(identification, (people, false_positives), samples, seed),
    }


def evaluate_embeddings(
    fingerprint: str, validation: SplitEmbeddings, test: SplitEmbeddings, settings: Settings
) -> RecognitionResult:
    """Calibrate on the validation split and run the trials of the test split."""
    names, validation_similarities = score_matrix(validation.probes, validation.enrolled)
    trials = run_probe_trials(validation.probes, names, validation_similarities)
    impostor_model = fit_impostor_model(validation_similarities, mate_columns(validation.probes, names), trials)
    target = settings.evaluate.target_fpir
    calibration = calibrate(trials, impostor_model, target_fpir=target, fingerprint=fingerprint, detect=settings.detect)
    people, similarities = score_matrix(test.probes, test.enrolled)
    enrolled = int(np.isfinite(similarities).any(axis=0).sum())
    return RecognitionResult(
        people=people,
        similarities=similarities,
        trials=run_probe_trials(test.probes, people, similarities),
        pairs=_score_probe_pairs(test.probes, settings),
        calibration=calibration,
        impostor_model=impostor_model,
        threshold=calibration["threshold"] if impostor_model is None else impostor_model.threshold(target, enrolled),
        pair_threshold=_score_probe_pairs(validation.probes, settings).best_threshold(),
    )


def _score_probe_pairs(probes: ProbeSet, settings: Settings) -> VerificationPairs:
    faces = probes.is_labeled
    people, _ = probes.bootstrap_units()
    return score_pairs(probes.embeddings[faces], people[faces], probes.sources[faces], settings.base.seed)


def _fit_eigenfaces(manifest: Manifest, settings: Settings) -> Eigenfaces:
    """Fit eigenfaces to the training faces, aligned by their labeled landmarks."""
    scenes = manifest.select("train")
    faces = [
        (i, face.landmarks)
        for i, scene in enumerate(scenes)
        for face in scene.faces
        if face.identity is not None and np.isfinite(face.landmarks).all()
    ]
    if len(faces) < 3:
        raise DataError(f"{manifest.root}: {len(faces)} training faces have landmarks; eigenfaces need three")
    scene_numbers, landmarks = np.array([face[0] for face in faces]), np.array([face[1] for face in faces])
    crops = to_gray(align_faces(manifest, scenes, scene_numbers, landmarks, SIDE))
    return Eigenfaces(crops, settings.evaluate.eigenfaces, settings.base.seed)


def _embed_crops(
    manifest: Manifest, split: SplitEmbeddings, embed_crops: Callable[[np.ndarray], np.ndarray], side: int
) -> SplitEmbeddings:
    """Replace the embeddings by those of crops aligned by the detected landmarks."""

    def embed(faces: ProbeSet, scenes: Sequence[Scene]) -> np.ndarray:
        is_detected = faces.is_detected
        rows = embed_crops(align_faces(manifest, scenes, faces.scenes[is_detected], faces.landmarks[is_detected], side))
        embeddings = np.full((len(is_detected), rows.shape[1]), np.nan, np.float32)
        embeddings[is_detected] = rows
        return embeddings

    return replace(
        split,
        probes=replace(split.probes, embeddings=embed(split.probes, split.scenes)),
        enrolled=replace(split.enrolled, embeddings=embed(split.enrolled, split.enrollments)),
    )
