"""Predictions on a split: detections in its scenes, and embeddings of its probes and enrollment photos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene, Split
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.evaluation.average_precision import DetectionOutcomes, evaluate_detections, match_detections
from onelook.evaluation.landmarks import LandmarkErrors, interocular_errors, landmark_errors
from onelook.evaluation.probe_set import EnrolledSet, ProbeSet, labeled_boxes, match_enrollment, match_probes
from onelook.face_quality import Quality, measure_faces
from onelook.inference.parallel import batched
from onelook.inference.predictor import FaceDetector
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings, Settings

AP_MIN_SCORE = 0.02
"""Average precision counts detections down to this score; identification starts at `detect.score`."""
AP_IOU = 0.5
_BATCH_SIZE = 8

Advance = Callable[[int], None]
"""Progress callback: takes the number of images done since the last call."""


def no_progress(images: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, eq=False)
class SplitDetections:
    """The detections of one split.

    Attributes:
        scenes: the scenes.
        candidates: detections in each scene down to AP_MIN_SCORE, without embeddings.
    """

    scenes: list[Scene]
    candidates: list[Detections]

    def landmark_errors(self, iou: float, score: float) -> LandmarkErrors:
        """Compute the landmark errors of the labeled faces detected with at least `score`."""
        sizes, eyes = [np.zeros(0)], [np.zeros(0)]
        scenes, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for i, (scene, candidates) in enumerate(zip(self.scenes, self.candidates, strict=True)):
            detected, boxes = candidates.above(score), labeled_boxes(scene)
            matches, is_first = match_detections(detected.boxes, boxes, iou)
            is_first &= matches < len(scene.faces)
            labeled = np.array([face.landmarks for face in scene.faces], np.float32).reshape(-1, 5, 2)
            faces, points = matches[is_first], detected.landmarks[is_first]
            sizes.append(landmark_errors(points, labeled[faces], boxes[faces]))
            eyes.append(interocular_errors(points, labeled[faces]))
            scenes.append(np.full(len(faces), i))
            rows.append(faces)
        return LandmarkErrors(*(np.concatenate(column) for column in (sizes, eyes, scenes, rows)))

    def outcomes(self) -> DetectionOutcomes:
        """Classify all candidates at AP_IOU; those on ignored boxes are dropped."""
        return evaluate_detections(
            [detections.boxes for detections in self.candidates],
            [detections.scores for detections in self.candidates],
            [labeled_boxes(scene) for scene in self.scenes],
            AP_IOU,
            [np.arange(len(labeled_boxes(scene))) >= len(scene.faces) for scene in self.scenes],
        )


@dataclass(frozen=True, eq=False)
class SplitEmbeddings(SplitDetections):
    """The detections and embeddings of one split.

    Attributes:
        enrollments: the enrollment photos.
        probes: the faces in the scenes.
        enrolled: the faces in the enrollment photos.
    """

    enrollments: list[Scene]
    probes: ProbeSet
    enrolled: EnrolledSet


def detect_split(
    predictor: FaceDetector, manifest: Manifest, split: Split, detect: DetectSettings, advance: Advance = no_progress
) -> SplitDetections:
    """Detect faces in all scenes of a split, down to AP_MIN_SCORE.

    Raises:
        DataError: the split has no scene.
    """
    scenes = manifest.select(split)
    if not scenes:
        raise DataError(f"{manifest.root}: split {split} has no scene; prepare more photos")
    # Most detections of a low score are no faces; embedding them would cost more than a second forward pass.
    low = detect.model_copy(update={"score": AP_MIN_SCORE})
    return SplitDetections(scenes, detect_faces(predictor, manifest, scenes, low, advance, embed=False))


def embed_split(
    predictor: FaceDetector, manifest: Manifest, split: Split, settings: Settings, advance: Advance = no_progress
) -> SplitEmbeddings:
    """Detect and embed the faces in all scenes and enrollment photos of a split.

    Raises:
        DataError: the split has no scene, or enrollment photos of fewer than two people.
    """
    scenes, enrollments = manifest.select(split), manifest.select(split, "enroll")
    people = {face.identity for scene in enrollments for face in scene.faces} - {None}
    if not scenes or len(people) < 2:
        raise DataError(
            f"{manifest.root}: split {split} has {len(scenes)} scenes and enrollment photos of {len(people)} people; "
            "evaluation needs a scene and two people; prepare more photos"
        )
    detect, iou = settings.detect, settings.evaluate.iou
    split_detections = detect_split(predictor, manifest, split, detect, advance)
    probes = match_probes(scenes, detect_faces(predictor, manifest, scenes, detect, advance), iou)
    detections = detect_faces(predictor, manifest, enrollments, detect, advance)
    qualities = [
        _measure_qualities(read_image(manifest.path(scene)), detected, detect)
        for scene, detected in zip(enrollments, detections, strict=True)
    ]
    enrolled = match_enrollment(enrollments, detections, qualities, iou)
    return SplitEmbeddings(split_detections.scenes, split_detections.candidates, enrollments, probes, enrolled)


def embed_labeled(
    predictor: TorchPredictor, manifest: Manifest, split: Split, settings: Settings
) -> tuple[ProbeSet, EnrolledSet]:
    """Embed the faces of a split at their labeled landmarks: recognition without detection."""
    iou = settings.evaluate.iou
    scenes, enrollments = manifest.select(split), manifest.select(split, "enroll")
    probes = match_probes(
        scenes, [_embed_at_labels(predictor, manifest, scene, settings.detect)[0] for scene in scenes], iou
    )
    detections, qualities = [], []
    for scene in enrollments:
        labeled, image = _embed_at_labels(predictor, manifest, scene, settings.detect)
        detections.append(labeled)
        qualities.append(_measure_qualities(image, labeled, settings.detect))
    return probes, match_enrollment(enrollments, detections, qualities, iou)


def detect_faces(
    predictor: FaceDetector,
    manifest: Manifest,
    scenes: Sequence[Scene],
    detect: DetectSettings,
    advance: Advance = no_progress,
    *,
    embed: bool = True,
) -> list[Detections]:
    """Detect, and by default embed, the faces of scenes in small batches."""
    detections = []
    for batch in batched(scenes, max(_BATCH_SIZE, predictor.min_batch_size)):
        detections += predictor.predict([read_image(manifest.path(scene)) for scene in batch], detect, embed=embed)
        advance(len(batch))
    return detections


def _embed_at_labels(
    predictor: TorchPredictor, manifest: Manifest, scene: Scene, detect: DetectSettings
) -> tuple[Detections, np.ndarray]:
    """Return the labeled faces of a scene as detections of score 1, and its image."""
    image = read_image(manifest.path(scene))
    faces = [face for face in scene.faces if np.isfinite(face.landmarks).all()]
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    landmarks = np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2)
    scores = np.ones(len(faces), np.float32)
    return Detections(boxes, scores, landmarks, predictor.embed(image, landmarks, detect)), image


def _measure_qualities(image: np.ndarray, detected: Detections, detect: DetectSettings) -> list[Quality]:
    return measure_faces(
        [
            (image, box, landmarks, score)
            for box, landmarks, score in zip(detected.boxes, detected.landmarks, detected.scores, strict=True)
        ],
        detect.longest_side,
    )
