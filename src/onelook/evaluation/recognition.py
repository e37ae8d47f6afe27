"""Recognition on the test split, by our embeddings and by eigenfaces on the crops our detections give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onelook.data.manifest import Manifest, Scene
from onelook.errors import DataError
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.calibration import calibrate, fit_impostor_model
from onelook.evaluation.eigenfaces import SIDE, Eigenfaces, cut_crops, to_gray
from onelook.evaluation.identification import Trials, identification_figures
from onelook.evaluation.probe_set import ProbeSet, SplitEmbeddings, owners_of, score_matrix, try_probes
from onelook.evaluation.verification import Pairs, make_pairs, verification_figures
from onelook.open_set import ImpostorModel
from onelook.settings import Settings


@dataclass(frozen=True, eq=False)
class Recognition:
    """How one kind of embedding does on the test split.

    Attributes:
        people, similarities: as `score_matrix` returned them.
        trials, pairs: of the test split.
        calibration: what tells strangers, set on the validation split, as calibration.json has it.
        unknown: its part for a gallery of any size; None where it could not be fitted.
        threshold: the one it promises for as many people as the test split enrolls.
        pair_threshold: the threshold for "the same person" with the best accuracy on the validation split.
    """

    people: list[str]
    similarities: np.ndarray
    trials: Trials
    pairs: Pairs
    calibration: dict[str, Any]
    unknown: ImpostorModel | None
    threshold: float
    pair_threshold: float


def recognize(
    fingerprint: str, manifest: Manifest, validation: SplitEmbeddings, test: SplitEmbeddings, settings: Settings
) -> tuple[Recognition, Recognition]:
    """Recognition by our embeddings, of the model of that fingerprint, and by eigenfaces.

    Raises:
        DataError: a split has too little to measure on.
    """
    floor = _learn_eigenfaces(manifest, settings)
    ours = _recognize(fingerprint, validation, test, settings)
    validation, test = (_with_eigenfaces(floor, manifest, split) for split in (validation, test))
    return ours, _recognize(fingerprint, validation, test, settings)


def recognition_figures(recognition: Recognition, probes: ProbeSet, settings: Settings) -> dict[str, Any]:
    """The sections `verification` and `identification`, with intervals over people."""
    _, (people, alarms) = probes.units()
    large = settings.evaluate.large_face_size
    return {
        "verification": _interval(
            lambda weights: verification_figures(recognition.pairs, recognition.pair_threshold, weights),
            (people,),
            settings,
        ),
        "identification": _interval(
            lambda weights: identification_figures(
                recognition.trials, large=large, threshold=recognition.threshold, weights=weights
            ),
            (people, alarms),
            settings,
        ),
    }


def _recognize(fingerprint: str, validation: SplitEmbeddings, test: SplitEmbeddings, settings: Settings) -> Recognition:
    names, known = score_matrix(validation.probes, validation.enrolled)
    trials = try_probes(validation.probes, names, known)
    unknown = fit_impostor_model(known, owners_of(validation.probes, names), trials)
    target = settings.evaluate.target_fpir
    calibration = calibrate(trials, unknown, target_fpir=target, fingerprint=fingerprint, detect=settings.detect)
    people, similarities = score_matrix(test.probes, test.enrolled)
    enrolled = int(np.isfinite(similarities).any(axis=0).sum())
    return Recognition(
        people=people,
        similarities=similarities,
        trials=try_probes(test.probes, people, similarities),
        pairs=_pairs(test.probes, settings),
        calibration=calibration,
        unknown=unknown,
        threshold=calibration["threshold"] if unknown is None else unknown.threshold(target, enrolled),
        pair_threshold=_pairs(validation.probes, settings).best_threshold(),
    )


def _pairs(probes: ProbeSet, settings: Settings) -> Pairs:
    faces = probes.labeled
    people, _ = probes.units()
    return make_pairs(probes.embeddings[faces], people[faces], probes.sources[faces], settings.base.seed)


def _learn_eigenfaces(manifest: Manifest, settings: Settings) -> Eigenfaces:
    """Eigenfaces of the training people, aligned by their labeled landmarks."""
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


def _with_eigenfaces(floor: Eigenfaces, manifest: Manifest, seen: SplitEmbeddings) -> SplitEmbeddings:
    """The same sightings, embedded by eigenfaces from crops aligned by our detections' landmarks."""

    def embed(sightings: ProbeSet, scenes: Sequence[Scene]) -> ProbeSet:
        found = sightings.found
        crops = cut_crops(manifest, scenes, sightings.scenes[found], sightings.landmarks[found], SIDE)
        rows = floor.embed(to_gray(crops))
        embeddings = np.full((len(found), rows.shape[1]), np.nan, np.float32)
        embeddings[found] = rows
        return replace(sightings, embeddings=embeddings)

    return replace(seen, probes=embed(seen.probes, seen.scenes), enrolled=embed(seen.enrolled, seen.enrollments))


def _interval(figures: Any, strata: Sequence[int], settings: Settings) -> dict[str, float]:
    return with_intervals(figures, strata, settings.evaluate.bootstrap_samples, settings.base.seed)
