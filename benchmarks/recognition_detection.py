"""Detection rows of `recognition.py`: WIDER FACE, and one small face in a large photo."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from face_scaling import resize_by
from pair_metrics import SEED
from recognition_galleries import first_photos
from recognition_pairs import LFW, spread
from recognition_report import Cell, Table
from recognition_systems import ONELOOK, SCRFD, Systems, require
from rich.console import Console
from rich.progress import track
from scrfd import LONGEST_SIDE

from onelook.data.image_io import read_image
from onelook.data.synthesis.backgrounds import random_view, read_backgrounds
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.evaluation.wider import evaluate_wider
from onelook.evaluation.wider_ground_truth import SETTINGS, read_wider_ground_truth
from onelook.files import resolve_inside
from onelook.geometry.boxes import box_areas, box_sizes, pairwise_iou
from onelook.settings import DetectSettings

WIDER = "widerface"
SCALES = {"640": 640, "original size": 8192}
WIDER_SCORE = 0.02
LARGE_WIDTH, LARGE_HEIGHT, LARGE_PHOTOS, FACE_SIZE = 4000, 3000, 50, 100
TILE = 1000
BORDER = 0.15
"""Width of the blended border of a pasted photo, as a fraction of its side."""
MATCH_IOU = 0.4

Detector = Callable[[np.ndarray], Detections]


def measure_wider(systems: Systems, data: Path, limit: int | None) -> list[Table]:
    """Measure WIDER FACE AP of the detectors at two scales."""
    images = require(data / WIDER / "WIDER_val/images")
    truth = read_wider_ground_truth(data / WIDER / "ground_truth")
    present = [(photo, resolve_inside(images, f"{photo.event}/{photo.name}.jpg")) for photo in truth]
    present = spread([(photo, path) for photo, path in present if path.is_file()], limit)
    rows: list[dict[str, Cell]] = []
    for scale, side in SCALES.items():
        detect = systems.detect.model_copy(update={"score": WIDER_SCORE, "longest_side": side})
        for name, detector in detectors(systems, detect, side).items():
            title = f"WIDER, {name}, {scale}"
            progress = track(present, title, transient=True, console=Console(stderr=True))
            found = [detector(read_image(path)) for _, path in progress]
            curves = evaluate_wider(
                [photo for photo, _ in present], [each.boxes for each in found], [each.scores for each in found]
            )
            row: dict[str, Cell] = {"longest side": scale, "detector": name}
            rows.append(row | {setting: float(curves[setting].average_precision) for setting in SETTINGS})
    notes = (f"AP of the official protocol on {len(present)} validation photos; published AP is on all of them.",)
    return [Table("wider", "WIDER FACE", rows, notes)]


def detectors(systems: Systems, detect: DetectSettings, side: int) -> dict[str, Detector]:
    """Return onelook's and SCRFD's detector at a longest side, with the score threshold of `detect`."""
    return {
        ONELOOK: lambda image: systems.predictor.predict([image], detect, embed=False)[0],
        SCRFD: lambda image: systems.detector.detect(image, longest_side=side, score=detect.score),
    }


def measure_large_photos(systems: Systems, data: Path, limit: int | None) -> list[Table]:
    """Count how often the largest box of a large photo is its one small face."""
    own = systems.detect
    methods: dict[str, Detector] = {
        f"onelook, as calibrated ({own.longest_side})": detectors(systems, own, own.longest_side)[ONELOOK],
        f"SCRFD-500M, {LONGEST_SIDE}": systems.detector.detect,
        f"SCRFD-500M, {LARGE_WIDTH}": lambda image: systems.detector.detect(image, longest_side=LARGE_WIDTH),
    }
    outcomes: dict[str, list[tuple[bool, bool, bool]]] = {name: [] for name in methods}
    count = LARGE_PHOTOS if limit is None else min(limit, LARGE_PHOTOS)
    photos = compose_photos(systems, first_photos(require(data / LFW), "test"), count)
    for image, box in track(photos, "large photos", total=count, transient=True, console=Console(stderr=True)):
        for name, detector in methods.items():
            outcomes[name].append(judge(detector(image).boxes, box))
    total = len(outcomes[next(iter(methods))])
    rows: list[dict[str, Cell]] = []
    for name, answers in outcomes.items():
        largest, found, phantoms = np.sum(answers, axis=0).tolist()
        cells = {"largest box is the face": largest, "face found": found, "phantom larger than the face": phantoms}
        rows.append({"detector": name, **{column: f"{value} of {total}" for column, value in cells.items()}})
    title = f"One face of {FACE_SIZE} px in a photo of {LARGE_WIDTH}×{LARGE_HEIGHT}"
    notes = ("Photos of LFW's test people, pasted over photographs without a face from the scikit-image wheel.",)
    return [Table("large_photos", title, rows, notes)]


def judge(boxes: np.ndarray, face: np.ndarray) -> tuple[bool, bool, bool]:
    """Return if the largest of boxes (n, 4) is the face (4,), if it was found, and if a larger box is a phantom."""
    if not len(boxes):
        return False, False, False
    is_face = pairwise_iou(boxes, face[None])[:, 0] >= MATCH_IOU
    areas = box_areas(boxes)
    is_phantom = ~is_face & (areas > box_areas(face[None])[0])
    return bool(is_face[np.argmax(areas)]), bool(is_face.any()), bool(is_phantom.any())


def compose_photos(systems: Systems, paths: list[Path], count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield large photos with the box of their face, from photos in which SCRFD finds one face.

    Raises:
        DataError: there are too few photos.
    """
    backgrounds = [background.image for background in read_backgrounds("test")]
    rng = np.random.default_rng(SEED)
    left = count
    for path in spread(paths, 4 * count):
        portrait = read_image(path)
        found = systems.detector.detect(portrait)
        if left == 0:
            return
        if len(found) == 1:
            left -= 1
            factor = FACE_SIZE / float(box_sizes(found.boxes)[0])
            yield paste(compose_background(backgrounds, rng), resize_by(portrait, factor), found.boxes[0] * factor, rng)
    if left:
        raise DataError(f"{paths[0].parent.parent}: too few photos with one face for {count} large photos")


def compose_background(backgrounds: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Compose a large photo from square views of backgrounds."""
    image = np.empty((LARGE_HEIGHT, LARGE_WIDTH, 3), np.uint8)
    for top in range(0, LARGE_HEIGHT, TILE):
        for left in range(0, LARGE_WIDTH, TILE):
            view = random_view(backgrounds[rng.integers(len(backgrounds))], TILE, TILE, rng)
            image[top : top + TILE, left : left + TILE] = view
    return image


def paste(
    image: np.ndarray, portrait: np.ndarray, box: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paste a portrait with a blended border at a random place; returns the image and the moved box (4,)."""
    height, width = portrait.shape[:2]
    border = round(BORDER * min(height, width))
    opacity = np.zeros((height, width), np.float32)
    opacity[border:-border, border:-border] = 1
    opacity = cv2.blur(opacity, (2 * border + 1, 2 * border + 1))[..., None]
    top, left = int(rng.integers(image.shape[0] - height)), int(rng.integers(image.shape[1] - width))
    region = image[top : top + height, left : left + width]
    region[:] = (opacity * portrait + (1 - opacity) * region).round().astype(np.uint8)
    return image, box + np.array([left, top, left, top], np.float32)
