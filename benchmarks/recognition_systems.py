"""The systems of `recognition.py`, which embed the same face of the same photos, each photo once a run.

- onelook: one forward pass.
- Two looks: MobileFaceNet on crops at the points that onelook detected.
- SCRFD-500M's detections, then MobileFaceNet, EdgeFace-XXS or EdgeFace-XS.

The face of a photo is the detection nearest its center, by each detector. No system averages mirrored crops. A photo in
which SCRFD finds nothing at a longest side of 640 pixels gets a second try at 320. With one try it misses one in twenty
of CFP's photos, whose faces fill them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from face_scaling import resize_by
from recognizers import Embedder, edgeface_xs, edgeface_xxs, has_tflite, mobilefacenet
from rich.console import Console
from rich.progress import Progress
from scrfd import LONGEST_SIDE, SCRFD_500M, Scrfd

from onelook.data.image_io import read_image
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.gallery.calibration import Calibration, read_calibration
from onelook.geometry.alignment import align_crop
from onelook.geometry.boxes import box_sizes
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

ONELOOK, TWO_LOOKS, SCRFD = "onelook", "two looks, MobileFaceNet", "SCRFD-500M"
EDGEFACE_XS_SYSTEM = f"{SCRFD} + EdgeFace-XS γ0.6"
BATCH_SIZE, BATCH_PIXELS = 16, 2_000_000
"""Photos of a batch, and the pixels that it may have with more than one photo."""


class Photo(NamedTuple):
    """A photo as every system gets it.

    Attributes:
        path: the file.
        factor: by which it is resized.
        native_points: the face has the points that the detector found in the file as it is.
    """

    path: Path
    factor: float = 1.0
    native_points: bool = False


class Face(NamedTuple):
    """The face of a photo.

    Attributes:
        detections: by detector, `ONELOOK` or `SCRFD`, of one face or none.
        embeddings: by system (d,) float32, L2-normalized; absent where the system found no face.
    """

    detections: dict[str, Detections]
    embeddings: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class FaceSet:
    """The faces of n photos.

    Attributes:
        embeddings: by system (n, d) float32, L2-normalized; NaN where the system found no face.
        boxes: by detector, `ONELOOK` or `SCRFD`, (n, 4) float32 in pixels of the resized photo; NaN likewise.
    """

    embeddings: dict[str, np.ndarray]
    boxes: dict[str, np.ndarray]

    def sizes(self) -> np.ndarray:
        """Return the face sizes (n,) by SCRFD's boxes: square roots of areas, in pixels; NaN without a face."""
        return box_sizes(self.boxes[SCRFD])


class Systems:
    """All systems, and what they found in the photos of this run.

    Attributes:
        predictor: onelook's model.
        calibration: of that model, or None.
        detect: detection settings of the calibration, without one the defaults.
        detector: SCRFD-500M.
        names: the systems' names.
    """

    def __init__(self, data: Path, model: Path, calibration: Path | None) -> None:
        """Open the systems with torch's number of threads.

        Args:
            data: folder that holds weights/.
            model: model folder.
            calibration: its calibration.json; None: the one in the model folder, if there is one.

        Raises:
            OnelookError: a file is missing or damaged.
        """
        threads = torch.get_num_threads()
        self.predictor: TorchPredictor = load_torch_predictor(model)
        own = model / "calibration.json"
        path = own if calibration is None and own.is_file() else calibration
        self.calibration: Calibration | None = None if path is None else read_calibration(path)
        self.detect = DetectSettings() if self.calibration is None else self.calibration.detect
        self.detector = Scrfd(require(data / SCRFD_500M), threads)
        small = mobilefacenet(data, threads)
        self._on_own_points: dict[str, Embedder] = {TWO_LOOKS: small}
        self._on_scrfd: dict[str, Embedder] = {
            f"{SCRFD} + MobileFaceNet": small,
            f"{SCRFD} + EdgeFace-XXS": edgeface_xxs(data, threads),
        }
        if has_tflite():
            self._on_scrfd[EDGEFACE_XS_SYSTEM] = edgeface_xs(data, threads)
        self.names = [ONELOOK, *self._on_own_points, *self._on_scrfd]
        self._known: dict[Photo, Face] = {}

    def embed(self, photos: Sequence[Photo], description: str) -> FaceSet:
        """Return the faces of photos; those that were embedded before in this run are not embedded again."""
        missing = [photo for photo in dict.fromkeys(photos) if photo not in self._known]
        natives = [Photo(photo.path) for photo in missing if photo.native_points]
        if natives:
            self.embed(natives, description)
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task(description, total=len(missing))
            for batch, images in read_batches(missing):
                self._embed_batch(batch, images)
                progress.advance(task, len(batch))
        faces = [self._known[photo] for photo in photos]
        boxes = {name: [each.detections[name].boxes for each in faces] for name in (ONELOOK, SCRFD)}
        return FaceSet(
            {name: stack_rows([each.embeddings.get(name) for each in faces]) for name in self.names},
            {name: stack_rows([box[0] if len(box) else None for box in of], 4) for name, of in boxes.items()},
        )

    def _embed_batch(self, photos: Sequence[Photo], images: Sequence[np.ndarray]) -> None:
        faces = self._detect_batch(photos, images)
        for photo, face in zip(photos, faces, strict=True):
            self._known[photo] = face
        for detector, embedders in ((ONELOOK, self._on_own_points), (SCRFD, self._on_scrfd)):
            rows = [row for row, face in enumerate(faces) if len(face.detections[detector])]
            if not rows:
                continue
            crops = np.array([align_crop(images[row], faces[row].detections[detector].landmarks[0]) for row in rows])
            for name, embed in embedders.items():
                embeddings = embed(crops)
                embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
                for row, embedding in zip(rows, embeddings, strict=True):
                    faces[row].embeddings[name] = embedding

    def _detect_batch(self, photos: Sequence[Photo], images: Sequence[np.ndarray]) -> list[Face]:
        """Detect the faces of photos that all have `native_points` or not, with onelook's embeddings alone."""
        if photos[0].native_points:
            return [self._scale_native(photo, image) for photo, image in zip(photos, images, strict=True)]
        found = self.predictor.predict(images, self.detect)
        faces = []
        for image, each in zip(images, found, strict=True):
            own = nearest_center(each, image)
            detections = {ONELOOK: own, SCRFD: nearest_center(self._detect_again(image), image)}
            faces.append(Face(detections, {ONELOOK: own.embeddings[0]} if len(own) else {}))
        return faces

    def _scale_native(self, photo: Photo, image: np.ndarray) -> Face:
        """Scale the detections of the native photo to its resized image, and embed that image at onelook's points."""
        detections = {
            name: Detections(each.boxes * photo.factor, each.scores, each.landmarks * photo.factor, each.embeddings)
            for name, each in self._known[Photo(photo.path)].detections.items()
        }
        if not len(detections[ONELOOK]):
            return Face(detections, {})
        return Face(detections, {ONELOOK: self.predictor.embed(image, detections[ONELOOK].landmarks, self.detect)[0]})

    def _detect_again(self, image: np.ndarray) -> Detections:
        """Detect with SCRFD, and at half the size where it finds nothing."""
        found = self.detector.detect(image)
        return found if len(found) else self.detector.detect(image, longest_side=LONGEST_SIDE // 2)


def read_batches(photos: Sequence[Photo]) -> Iterator[tuple[list[Photo], list[np.ndarray]]]:
    """Read and resize photos, in batches of limited size."""
    batch: list[Photo] = []
    images: list[np.ndarray] = []
    pixels = 0
    for photo in photos:
        image = resize_by(read_image(photo.path), photo.factor)
        area = image.shape[0] * image.shape[1]
        if batch and (len(batch) == BATCH_SIZE or pixels + area > BATCH_PIXELS):
            yield batch, images
            batch, images, pixels = [], [], 0
        batch.append(photo)
        images.append(image)
        pixels += area
    if batch:
        yield batch, images


def nearest_center(faces: Detections, image: np.ndarray) -> Detections:
    """Select the face nearest the center of an image (H, W, 3); none where there is none."""
    centers = faces.boxes.reshape(-1, 2, 2).mean(axis=1)
    order = np.argsort(np.linalg.norm(centers - np.array(image.shape[1::-1]) / 2, axis=1), kind="stable")[:1]
    return Detections(faces.boxes[order], faces.scores[order], faces.landmarks[order], faces.embeddings[order])


def stack_rows(rows: Sequence[np.ndarray | None], width: int | None = None) -> np.ndarray:
    """Stack rows (d,) to (n, d) float32; NaN where a row is None. `width` is d, by default that of the rows."""
    lengths = {len(row) for row in rows if row is not None} | ({width} if width else set())
    stacked = np.full((len(rows), max(lengths, default=1)), np.nan, np.float32)
    for index, row in enumerate(rows):
        if row is not None:
            stacked[index] = row
    return stacked


def require(path: Path) -> Path:
    """Return an existing path.

    Raises:
        DataError: it does not exist.
    """
    if not path.exists():
        raise DataError(f"{path}: not there; see the README of the research data")
    return path
