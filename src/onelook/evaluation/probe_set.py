"""From full scenes to trials: looking, matching detections to labeled faces, enrollment, similarities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene, Split
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.evaluation.average_precision import NO_FACE, DetectionOutcomes, judge_detections, match_detections
from onelook.evaluation.identification import NON_MATED, Trials, run_trials
from onelook.evaluation.landmarks import LandmarkErrors, interocular_errors, landmark_errors
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings, Settings

LOWEST_SCORE = 0.02
"""Average precision counts detections down to this score; identification starts at detect.score."""
AP_IOU = 0.5
_BATCH = 8


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """What was seen of the people of some scenes: every labeled face with an identity, then every false alarm.

    Attributes:
        identities: n names; None for a false alarm.
        scenes: (n,) int64, the scene of each.
        sources: (n,) strings, the photo each face was cut from; composed scenes hold the same one several times.
        sizes: (n,) float64, of the labeled face, in pixels; NaN for a false alarm.
        landmarks: (n, 5, 2) float32 as detected; NaN where the face was not found.
        embeddings: (n, d) float32; NaN where the face was not found.
    """

    identities: tuple[str | None, ...]
    scenes: np.ndarray
    sources: np.ndarray
    sizes: np.ndarray
    landmarks: np.ndarray
    embeddings: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """(n,) bool, false for labeled faces that were not found."""
        return np.isfinite(self.landmarks).all((1, 2))

    @property
    def labeled(self) -> np.ndarray:
        """(n,) bool, false for false alarms."""
        return np.array([identity is not None for identity in self.identities], bool)

    def units(self) -> tuple[np.ndarray, tuple[int, int]]:
        """What is resampled together: (n,) int64, a person's sightings or one false alarm; and how many of both."""
        people = sorted({identity for identity in self.identities if identity is not None})
        number = {identity: i for i, identity in enumerate(people)}
        labeled = [number[identity] for identity in self.identities if identity is not None]
        alarms = len(self.identities) - len(labeled)
        return np.array([*labeled, *range(len(people), len(people) + alarms)], np.int64), (len(people), alarms)


@dataclass(frozen=True, eq=False)
class SplitDetections:
    """One split as the detector saw it.

    Attributes:
        scenes: the scenes.
        candidates: what was found in each scene down to LOWEST_SCORE, without embeddings.
    """

    scenes: list[Scene]
    candidates: list[Detections]

    def errors(self, iou: float, score: float) -> LandmarkErrors:
        """Landmark errors of every labeled face found with at least `score`, and the scene of each."""
        sizes, eyes, scenes = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, np.int64)]
        for i, (scene, candidates) in enumerate(zip(self.scenes, self.candidates, strict=True)):
            shown, boxes = candidates.above(score), labeled_boxes(scene)
            claimed, first = match_detections(shown.boxes, boxes, iou)
            first &= claimed < len(scene.faces)
            labeled = np.array([face.landmarks for face in scene.faces], np.float32).reshape(-1, 5, 2)
            faces, points = claimed[first], shown.landmarks[first]
            sizes.append(landmark_errors(points, labeled[faces], boxes[faces]))
            eyes.append(interocular_errors(points, labeled[faces]))
            scenes.append(np.full(len(faces), i))
        return LandmarkErrors(np.concatenate(sizes), np.concatenate(eyes), np.concatenate(scenes))

    def outcomes(self) -> DetectionOutcomes:
        """What became of all candidates, at AP_IOU; those upon ignored boxes are dropped."""
        return judge_detections(
            [detections.boxes for detections in self.candidates],
            [detections.scores for detections in self.candidates],
            [labeled_boxes(scene) for scene in self.scenes],
            AP_IOU,
            [np.arange(len(labeled_boxes(scene))) >= len(scene.faces) for scene in self.scenes],
        )


@dataclass(frozen=True, eq=False)
class SplitEmbeddings(SplitDetections):
    """One split as the whole network saw it.

    Attributes:
        enrollments: the enrollment photos.
        probes, enrolled: sightings in the scenes, and in the enrollment photos.
    """

    enrollments: list[Scene]
    probes: ProbeSet
    enrolled: ProbeSet


def detect_split(
    looker: TorchPredictor, manifest: Manifest, split: Split, detect: DetectSettings, advance: Callable[[int], None]
) -> SplitDetections:
    """Look for faces in all scenes of a split; `advance` is told how many photos were looked at, batch by batch.

    Raises:
        DataError: the split has no scene.
    """
    scenes = manifest.select(split)
    if not scenes:
        raise DataError(f"{manifest.root}: split {split} has no scene; prepare more photos")
    # Most detections of a low score are no faces: embedding those would cost more than a second look.
    low = detect.model_copy(update={"score": LOWEST_SCORE})
    return SplitDetections(scenes, detect_faces(looker, manifest, scenes, low, advance, embed=False))


def evaluate_split(
    looker: TorchPredictor, manifest: Manifest, split: Split, settings: Settings, advance: Callable[[int], None]
) -> SplitEmbeddings:
    """Look at all scenes and enrollment photos of a split.

    Args:
        looker: the network.
        manifest: of the scenes.
        split: whose people.
        settings: how to look and match.
        advance: told how many photos were looked at, batch by batch.

    Raises:
        DataError: the split has no scene or no enrollment photo of two people.
    """
    scenes, enrollments = manifest.select(split), manifest.select(split, "enroll")
    people = {face.identity for scene in enrollments for face in scene.faces} - {None}
    if not scenes or len(people) < 2:
        raise DataError(
            f"{manifest.root}: split {split} has {len(scenes)} scenes and enrollment photos of {len(people)} people; "
            "evaluation needs a scene and two people; prepare more photos"
        )
    detect, iou = settings.detect, settings.evaluate.iou
    found = detect_split(looker, manifest, split, detect, advance)
    shown = detect_faces(looker, manifest, scenes, detect, advance)
    enrollment = detect_faces(looker, manifest, enrollments, detect, advance)
    return SplitEmbeddings(
        found.scenes,
        found.candidates,
        enrollments,
        match_probes(scenes, shown, iou),
        match_probes(enrollments, enrollment, iou),
    )


def embed_labeled(looker: TorchPredictor, manifest: Manifest, split: Split, iou: float) -> tuple[ProbeSet, ProbeSet]:
    """The probes and the enrolled of a split embedded where the labels say they are: recognition without detection.

    `iou` is the IoU of overlapping labels above which one counts for the other.
    """

    def at_labels(scenes: Sequence[Scene]) -> ProbeSet:
        found = []
        for scene in scenes:
            faces = [face for face in scene.faces if np.isfinite(face.landmarks).all()]
            boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
            landmarks = np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2)
            embeddings = looker.embed(read_image(manifest.path(scene)), landmarks)
            found.append(Detections(boxes, np.ones(len(faces), np.float32), landmarks, embeddings))
        return match_probes(scenes, found, iou)

    return at_labels(manifest.select(split)), at_labels(manifest.select(split, "enroll"))


def detect_faces(
    looker: TorchPredictor,
    manifest: Manifest,
    scenes: Sequence[Scene],
    detect: DetectSettings,
    advance: Callable[[int], None],
    *,
    embed: bool = True,
) -> list[Detections]:
    """Look at scenes, a few at a time."""
    found = []
    for start in range(0, len(scenes), _BATCH):
        batch = scenes[start : start + _BATCH]
        found += looker.predict([read_image(manifest.path(scene)) for scene in batch], detect, embed=embed)
        advance(len(batch))
    return found


def match_probes(scenes: Sequence[Scene], detections: Sequence[Detections], iou: float) -> ProbeSet:
    """Match each scene's detections to its labeled faces.

    A face without an identity may be anybody: whoever finds it gives neither a probe nor a false alarm, and nor does
    whoever finds an ignored box. Duplicates on one face are false alarms, as in average precision.
    """
    faces, alarms = [], []
    size = max((found.embeddings.shape[1] for found in detections), default=0)
    absent = np.full((5, 2), np.nan, np.float32), np.full(size, np.nan, np.float32)
    for i, (scene, found) in enumerate(zip(scenes, detections, strict=True)):
        claimed, first = match_detections(found.boxes, labeled_boxes(scene), iou)
        finder = {int(claimed[row]): row for row in np.flatnonzero(first)}
        for j, face in enumerate(scene.faces):
            if face.identity is not None:
                seen = (found.landmarks[finder[j]], found.embeddings[finder[j]]) if j in finder else absent
                faces.append((face.identity, i, face.source or scene.image, face.size, *seen))
        for row in np.flatnonzero(((claimed == NO_FACE) | ~first) & (claimed < len(scene.faces))):
            alarms.append((None, i, "", np.nan, found.landmarks[row], found.embeddings[row]))
    rows = [*faces, *alarms]
    return ProbeSet(
        identities=tuple(row[0] for row in rows),
        scenes=np.array([row[1] for row in rows], np.int64),
        sources=np.array([row[2] for row in rows], np.str_),
        sizes=np.array([row[3] for row in rows], np.float64),
        landmarks=np.array([row[4] for row in rows], np.float32).reshape(-1, 5, 2),
        embeddings=np.array([row[5] for row in rows], np.float32).reshape(len(rows), size),
    )


def score_matrix(probes: ProbeSet, enrolled: ProbeSet) -> tuple[list[str], np.ndarray]:
    """Similarity of every sighting to everyone with an enrollment photo.

    A person's template is the mean of the person's enrolled embeddings, brought back to length 1; similarity is the
    inner product with it. The gallery does the same.

    Returns:
        The people's names, sorted, and (n, people) float64: minus infinity for a face that was not found and for a
        person of whom no face was found in any enrollment photo.
    """
    people = sorted({identity for identity in enrolled.identities if identity is not None})
    owners = np.array([identity or "" for identity in enrolled.identities], np.str_)
    seen = np.flatnonzero(probes.found)
    similarities = np.full((len(probes.identities), len(people)), -np.inf)
    for column, name in enumerate(people):
        rows = enrolled.embeddings[(owners == name) & enrolled.labeled & enrolled.found].astype(np.float64)
        if len(rows):
            template = rows.sum(0) / max(float(np.linalg.norm(rows.sum(0))), 1e-12)
            similarities[seen, column] = probes.embeddings[seen] @ template
    return people, similarities


def try_probes(probes: ProbeSet, people: Sequence[str], similarities: np.ndarray) -> Trials:
    """Run the identification trials on what `score_matrix` returned."""
    return run_trials(similarities, owners_of(probes, people), probes.units()[0], probes.sizes)


def owners_of(probes: ProbeSet, people: Sequence[str]) -> np.ndarray:
    """The column (n,) int64 of each probe's own person, or STRANGER."""
    column: dict[str | None, int] = {name: i for i, name in enumerate(people)}
    return np.array([column.get(identity, NON_MATED) for identity in probes.identities], np.int64)


def labeled_boxes(scene: Scene) -> np.ndarray:
    """The boxes (m, 4) float32 that detections in a scene may claim: its faces', then the ignored ones."""
    return np.concatenate([np.array([face.box for face in scene.faces], np.float32).reshape(-1, 4), scene.ignored])
