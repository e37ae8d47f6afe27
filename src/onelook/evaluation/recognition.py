"""Recognition on the test split, by our embeddings and by eigenfaces on the crops our detections give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onelook.data.scene import Manifest, Scene
from onelook.errors import DataError
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.calibration import calibrate
from onelook.evaluation.crops import cut_crops, to_gray
from onelook.evaluation.eigenfaces import SIDE, Eigenfaces
from onelook.evaluation.identification import Trials, identification_figures
from onelook.evaluation.probes import SeenSplit, Sightings, compare, owners_of, try_probes
from onelook.evaluation.strangers import fit_unknown
from onelook.evaluation.verification import Pairs, make_pairs, verification_figures
from onelook.settings import Settings
from onelook.unknown import Unknown


@dataclass(frozen=True, eq=False)
class Recognition:
    """How one kind of embedding does on the test split.

    Attributes:
        people, similarities: as `compare` returned them.
        trials, pairs: of the test split.
        calibration: what tells strangers, set on the validation split, as calibration.json has it.
        unknown: its part for a gallery of any size; None where it could not be fitted.
        threshold: the one it promises for as many people as the test split enrols.
        pair_threshold: the threshold for "the same person" with the best accuracy on the validation split.
    """

    people: list[str]
    similarities: np.ndarray
    trials: Trials
    pairs: Pairs
    calibration: dict[str, Any]
    unknown: Unknown | None
    threshold: float
    pair_threshold: float


def recognise(
    fingerprint: str, manifest: Manifest, validation: SeenSplit, test: SeenSplit, settings: Settings
) -> tuple[Recognition, Recognition]:
    """Recognition by our embeddings, of the model of that fingerprint, and by eigenfaces.

    Raises:
        DataError: a split has too little to measure on.
    """
    floor = _learn_eigenfaces(manifest, settings)
    ours = _recognise(fingerprint, validation, test, settings)
    validation, test = (_with_eigenfaces(floor, manifest, split) for split in (validation, test))
    return ours, _recognise(fingerprint, validation, test, settings)


def recognition_figures(recognition: Recognition, probes: Sightings, settings: Settings) -> dict[str, Any]:
    """The sections `verification` and `identification`, with intervals over people."""
    _, (people, alarms) = probes.units()
    large = settings.evaluate.large
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


def _recognise(fingerprint: str, validation: SeenSplit, test: SeenSplit, settings: Settings) -> Recognition:
    names, known = compare(validation.probes, validation.enrolled)
    trials = try_probes(validation.probes, names, known)
    unknown = fit_unknown(known, owners_of(validation.probes, names), trials)
    target = settings.evaluate.target_fpir
    calibration = calibrate(trials, unknown, target_fpir=target, fingerprint=fingerprint, detect=settings.detect)
    people, similarities = compare(test.probes, test.enrolled)
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


def _pairs(probes: Sightings, settings: Settings) -> Pairs:
    faces = probes.labelled
    people, _ = probes.units()
    return make_pairs(probes.embeddings[faces], people[faces], probes.sources[faces], settings.base.seed)


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


def _interval(figures: Any, strata: Sequence[int], settings: Settings) -> dict[str, float]:
    return with_intervals(figures, strata, settings.evaluate.bootstrap, settings.base.seed)
