"""Faces of photos whose points people have marked, in the boxes that the joint network detects.

The nose of scenes/ is marked at its base. Helen's is the tip of the nose, as in the joint network. As these are two
points, the nose of scenes/ counts as unlabeled.

A helper of landmarks.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from recognition_pairs import spread
from recognition_systems import require
from rich.console import Console
from rich.progress import track

from onelook.data.detection_scenes import DetectionImage
from onelook.data.image_io import read_image
from onelook.data.landmark_faces import MIN_SIZE, STORED_EXTENT, STORED_SIDE, LandmarkFaces, crop_face, to_square
from onelook.data.manifest import Split
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.errors import DataError
from onelook.evaluation.average_precision import match_detections
from onelook.files import atomic_file
from onelook.inference.predictor import FaceDetector
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings, JsonAnnotationsSettings, PrepareSettings, Settings
from onelook.training.checkpoint import training_key

SCENES, HELEN = "scenes", "Helen"
MATCH_IOU = 0.5
_NOSE = 2


@dataclass(frozen=True, eq=False)
class MarkedPhoto:
    """A photo and the n detected faces that match one with labeled points.

    Attributes:
        image: RGB uint8 (H, W, 3).
        boxes: (n, 4) of the detector, in pixels.
        predicted: (n, 5, 2) points of the detector.
        labeled: (n, 5, 2) points marked by people; NaN for a point without a label.
        missed: number of faces with labeled points that were not detected.
    """

    image: np.ndarray
    boxes: np.ndarray
    predicted: np.ndarray
    labeled: np.ndarray
    missed: int


def read_marked_photos(data: Path, helen: Path | None) -> dict[str, tuple[DetectionImage, ...]]:
    """Read the photos of both sets, in the splits of the stage `prepare` with its defaults.

    Args:
        data: folder of scenes/.
        helen: folder that pts_annotations.py wrote; None leaves it out.

    Raises:
        DataError: a folder is missing or damaged.
    """
    folders = {SCENES: data / "scenes"} | ({} if helen is None else {HELEN: helen})
    settings = {name: JsonAnnotationsSettings(path=str(require(path).resolve())) for name, path in folders.items()}
    fractions, seed = PrepareSettings().split, Settings().base.seed
    photos = {name: read_json_annotations(own, fractions, seed).photos for name, own in settings.items()}
    return photos | {SCENES: tuple(without_nose(photo) for photo in photos[SCENES])}


def without_nose(photo: DetectionImage) -> DetectionImage:
    """Return a photo whose faces have no labeled nose."""
    is_nose = np.arange(5)[:, None] == _NOSE
    faces = (replace(face, landmarks=np.where(is_nose, np.float32(np.nan), face.landmarks)) for face in photo.faces)
    return replace(photo, faces=tuple(faces))


def select_photos(photos: Sequence[DetectionImage], split: Split, limit: int | None) -> list[DetectionImage]:
    """Return the photos of a split, at most `limit` of them."""
    return spread([photo for photo in photos if photo.split == split], limit)


def detect_marked(photos: Sequence[DetectionImage], detector: FaceDetector, description: str) -> Iterator[MarkedPhoto]:
    """Detect the faces of photos and match them to those with labeled points."""
    for photo in track(photos, description=description, transient=True, console=Console(stderr=True)):
        faces = [face for face in photo.faces if np.isfinite(face.landmarks).all(-1).any()]
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        labeled = np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2)
        image = read_image(photo.path)
        found = detector.predict([image], DetectSettings(), embed=False)[0]
        matches, is_first = match_detections(found.boxes, boxes, MATCH_IOU)
        missed = len(faces) - int(is_first.sum())
        yield MarkedPhoto(image, found.boxes[is_first], found.landmarks[is_first], labeled[matches[is_first]], missed)


@dataclass(frozen=True, eq=False)
class TrainingFaces:
    """Training faces of cascades, in boxes of the detector.

    Attributes:
        faces: n crops and their labeled points.
        predicted: (n, 5, 2) float32 points of the detector, in units of the square of the box.
    """

    faces: LandmarkFaces
    predicted: np.ndarray

    def mean_face(self) -> np.ndarray:
        """Return the mean labeled points (5, 2); NaN for a point without labels."""
        return _mean(self.faces.points)

    def mean_offset(self) -> np.ndarray:
        """Return the mean distance (5, 2) of the detector's points from the labeled ones; NaN likewise."""
        return _mean(self.predicted - self.faces.points)


def crop_training_faces(photos: Iterable[MarkedPhoto]) -> TrainingFaces:
    """Crop the faces of photos that are at least `MIN_SIZE` large.

    Raises:
        DataError: there is none.
    """
    crops, points, predicted = [], [], []
    for photo in photos:
        gray = cv2.cvtColor(photo.image, cv2.COLOR_RGB2GRAY)
        for box, labeled, own in zip(photo.boxes, photo.labeled, photo.predicted, strict=True):
            if (box[2:] - box[:2]).max() >= MIN_SIZE:
                crops.append(crop_face(gray, box, STORED_EXTENT, STORED_SIDE))
                points.append(to_square(labeled, box))
                predicted.append(to_square(own, box))
    if not crops:
        raise DataError(f"no training photo has a detected face of {MIN_SIZE} pixels; restore scenes/ of --data")
    faces = LandmarkFaces(np.stack(crops), np.stack(points).astype(np.float32))
    return TrainingFaces(faces, np.stack(predicted).astype(np.float32))


def open_training_faces(photos: Sequence[DetectionImage], detector: TorchPredictor, path: Path) -> TrainingFaces:
    """Read the training faces of photos from a file, or detect and crop them and write it.

    Args:
        photos: the training photos.
        detector: the joint network.
        path: the file; one of other photos or of another network is replaced.
    """
    labels = [[str(photo.path), *(face.landmarks.tolist() for face in photo.faces)] for photo in photos]
    key = training_key(detector.fingerprint, labels)
    if path.is_file():
        with np.load(path) as saved:
            if str(saved["key"]) == key:
                return TrainingFaces(LandmarkFaces(saved["crops"], saved["points"]), saved["predicted"])
    training = crop_training_faces(detect_marked(photos, detector, "training photos"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            key=key,
            crops=training.faces.crops,
            points=training.faces.points,
            predicted=training.predicted,
        )
    return training


def repeat_complete(faces: LandmarkFaces, times: int) -> LandmarkFaces:
    """Repeat the faces whose five points are all labeled, so that nose and mouth are trained about as often as eyes."""
    is_complete = np.isfinite(faces.points).all((1, 2))
    rows = np.repeat(np.arange(len(is_complete)), np.where(is_complete, times, 1))
    return LandmarkFaces(faces.crops[rows], faces.points[rows])


def _mean(points: np.ndarray) -> np.ndarray:
    """Return the mean (5, 2) of points (n, 5, 2) that are finite."""
    is_labeled = np.isfinite(points)
    counts = is_labeled.sum(0)
    means: np.ndarray = np.where(counts > 0, np.where(is_labeled, points, 0).sum(0) / np.maximum(counts, 1), np.nan)
    return means
