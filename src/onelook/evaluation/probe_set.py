"""Probes and enrolled faces: detections matched to labeled faces, templates and similarities.

The gallery does the same to the same photos. `match_enrollment` selects detections and `score_matrix` weights them as
the index stage does (`gallery.enrollment.embed_labeled_scenes`, `TemplateIndex`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onelook.data.manifest import Scene
from onelook.detections import Detections
from onelook.evaluation.average_precision import NO_MATCH, match_detections
from onelook.evaluation.identification import NON_MATED, Trials, run_trials
from onelook.face_quality import Quality
from onelook.face_templates import make_person_templates
from onelook.geometry.boxes import pairwise_iou


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """The faces of some scenes: every labeled face with an identity, then every false positive.

    Attributes:
        identities: n names; None for a false positive.
        scenes: (n,) int64, the scene of each face.
        sources: (n,) strings, the source photo of each face; composed scenes may contain the same one several times.
        sizes: (n,) float64, size of the labeled face in pixels; NaN for a false positive.
        landmarks: (n, 5, 2) float32 as detected; NaN where the face was not detected.
        embeddings: (n, d) float32; NaN where the face was not detected.
    """

    identities: tuple[str | None, ...]
    scenes: np.ndarray
    sources: np.ndarray
    sizes: np.ndarray
    landmarks: np.ndarray
    embeddings: np.ndarray

    @property
    def is_detected(self) -> np.ndarray:
        """Return the faces (n,) bool that were detected."""
        return np.isfinite(self.landmarks).all((1, 2))

    @property
    def is_labeled(self) -> np.ndarray:
        """Return the labeled faces (n,) bool, which are no false positives."""
        return np.array([identity is not None for identity in self.identities], bool)

    def bootstrap_units(self) -> tuple[np.ndarray, tuple[int, int]]:
        """Assign the faces to bootstrap units: people, then single false positives.

        Returns:
            (n,) int64, the unit of each face, and the numbers of people and of false positives.
        """
        people = sorted({identity for identity in self.identities if identity is not None})
        number = {identity: i for i, identity in enumerate(people)}
        labeled = [number[identity] for identity in self.identities if identity is not None]
        false_positives = len(self.identities) - len(labeled)
        units = np.array([*labeled, *range(len(people), len(people) + false_positives)], np.int64)
        return units, (len(people), false_positives)


@dataclass(frozen=True, eq=False)
class EnrolledSet(ProbeSet):
    """The labeled faces of some enrollment photos; no false positives.

    Attributes:
        weights: (n,) float64, template weight of each face: its measured quality; 0 where it was not detected.
    """

    weights: np.ndarray


def match_probes(scenes: Sequence[Scene], detections: Sequence[Detections], iou: float) -> ProbeSet:
    """Match the detections of each scene to its labeled faces.

    - A detection on a face without an identity is neither a probe nor a false positive: it may be anybody.
    - The same holds for a detection on an ignored box.
    - Duplicates on one face are false positives, as in average precision.
    """
    faces, false_positives = [], []
    dim = max((detected.embeddings.shape[1] for detected in detections), default=0)
    undetected = np.full((5, 2), np.nan, np.float32), np.full(dim, np.nan, np.float32)
    for i, (scene, detected) in enumerate(zip(scenes, detections, strict=True)):
        matches, is_first = match_detections(detected.boxes, labeled_boxes(scene), iou)
        detection_of = {int(matches[row]): row for row in np.flatnonzero(is_first)}
        for j, face in enumerate(scene.faces):
            if face.identity is not None:
                row = detection_of.get(j)
                arrays = undetected if row is None else (detected.landmarks[row], detected.embeddings[row])
                faces.append((face.identity, i, face.source or scene.image, face.size, *arrays))
        for row in np.flatnonzero(((matches == NO_MATCH) | ~is_first) & (matches < len(scene.faces))):
            false_positives.append((None, i, "", np.nan, detected.landmarks[row], detected.embeddings[row]))
    return ProbeSet(**_columns([*faces, *false_positives], dim))


def match_enrollment(
    scenes: Sequence[Scene],
    detections: Sequence[Detections],
    qualities: Sequence[Sequence[Quality]],
    iou: float,
) -> EnrolledSet:
    """Select the detection of highest IoU for each labeled face of enrollment photos.

    Small and blurred faces, which `onelook enroll` refuses, are enrolled with a low weight. So does the index stage,
    because the labels give their identities.

    Args:
        scenes: the enrollment photos.
        detections: of each photo.
        qualities: of the detections of each photo.
        iou: lowest IoU of a match.
    """
    faces, weights = [], []
    dim = max((detected.embeddings.shape[1] for detected in detections), default=0)
    undetected = np.full((5, 2), np.nan, np.float32), np.full(dim, np.nan, np.float32)
    for i, (scene, detected, measured) in enumerate(zip(scenes, detections, qualities, strict=True)):
        for face in scene.faces:
            if face.identity is None:
                continue
            overlaps = pairwise_iou(face.box[None], detected.boxes)[0]
            arrays, weight = undetected, 0.0
            if len(detected) and overlaps.max() >= iou:
                row = int(overlaps.argmax())
                arrays, weight = (detected.landmarks[row], detected.embeddings[row]), measured[row].weight
            faces.append((face.identity, i, face.source or scene.image, face.size, *arrays))
            weights.append(weight)
    return EnrolledSet(**_columns(faces, dim), weights=np.array(weights, np.float64))


def score_matrix(probes: ProbeSet, enrolled: EnrolledSet) -> tuple[list[str], np.ndarray]:
    """Compute the similarity of every probe to every enrolled person.

    Similarity is the inner product with the person's template (`onelook.face_templates`).

    Returns:
        The people's names, sorted, and (n, people) float64: minus infinity for an undetected probe and for a person
        without a detected face in any enrollment photo.
    """
    people = sorted({identity for identity in enrolled.identities if identity is not None})
    rows = np.flatnonzero(enrolled.is_detected)
    names, templates = make_person_templates(
        enrolled.embeddings[rows], [str(enrolled.identities[row]) for row in rows], enrolled.weights[rows]
    )
    is_detected = np.flatnonzero(probes.is_detected)
    similarities = np.full((len(probes.identities), len(people)), -np.inf)
    columns = np.array([people.index(name) for name in names], np.int64)
    similarities[np.ix_(is_detected, columns)] = probes.embeddings[is_detected].astype(np.float64) @ templates.T
    return people, similarities


def run_probe_trials(probes: ProbeSet, people: Sequence[str], similarities: np.ndarray) -> Trials:
    """Run the identification trials on the result of `score_matrix`."""
    return run_trials(similarities, mate_columns(probes, people), probes.bootstrap_units()[0], probes.sizes)


def mate_columns(probes: ProbeSet, people: Sequence[str]) -> np.ndarray:
    """Return the column (n,) int64 of each probe's own person, or NON_MATED."""
    column: dict[str | None, int] = {name: i for i, name in enumerate(people)}
    return np.array([column.get(identity, NON_MATED) for identity in probes.identities], np.int64)


def labeled_boxes(scene: Scene) -> np.ndarray:
    """Stack the boxes (m, 4) float32 of a scene's faces, then its ignored boxes."""
    return np.concatenate([np.array([face.box for face in scene.faces], np.float32).reshape(-1, 4), scene.ignored])


def _columns(rows: Sequence[tuple], dim: int) -> dict[str, Any]:
    return {
        "identities": tuple(row[0] for row in rows),
        "scenes": np.array([row[1] for row in rows], np.int64),
        "sources": np.array([row[2] for row in rows], np.str_),
        "sizes": np.array([row[3] for row in rows], np.float64),
        "landmarks": np.array([row[4] for row in rows], np.float32).reshape(-1, 5, 2),
        "embeddings": np.array([row[5] for row in rows], np.float32).reshape(len(rows), dim),
    }
