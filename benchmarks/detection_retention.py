"""Check that detection is retained.

WIDER AP and found LFW faces before and after joint training.

    python benchmarks/detection_retention.py --data ../shared/data [--model build/model]

The public detector, the released weights and those of `make repro` detect in the same photos at the same scale.
Prints a Markdown table.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.detections import Detections
from onelook.evaluation.average_precision import DetectionOutcomes, evaluate_detections
from onelook.files import resolve_inside
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.detection_transforms import scale_detections
from onelook.inference.loading import load_torch_predictor
from onelook.inference.resize import resize_to_longest_side
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

LFW_PHOTOS = 500
SMALLEST = 10  # pixels of the photo as it is looked at; smaller faces are ignored


def main() -> None:
    """Measure the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds widerface/ and lfw/")
    parser.add_argument("--model", type=Path, help="folder that train wrote")
    arguments = parser.parse_args()
    predictors = {
        "the detector's public weights": public_detector(),
        "the released weights": load_torch_predictor(RELEASED),
    }
    if arguments.model is not None:
        predictors["after joint training"] = load_torch_predictor(arguments.model)
    photos = list(wider_photos(arguments.data / "widerface"))
    print("| network | WIDER AP .5, longest side 640 | WIDER AP .5, longest side 1024 | LFW faces found |")
    print("|---|---|---|---|")
    for name, predictor in predictors.items():
        precisions = [wider_ap(predictor, photos, side) for side in (640, 1024)]
        found, total = lfw_found(predictor, arguments.data / "lfw")
        cells = [f"{value:.4f}" for value in precisions]
        print(f"| {name} | {' | '.join(cells)} | {found} of {total} ({found / total:.1%}) |")


def wider_photos(root: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Return each photo and its boxes.

    N, 4; x1 y1 x2 y2 from the official ground-truth text file.
    """
    lines = iter((root / "wider_face_split/wider_face_val_bbx_gt.txt").read_text().splitlines())
    for name in lines:
        count = int(next(lines))
        rows = [next(lines) for _ in range(max(1, count))][:count]  # a photo without a face has one row of zeros
        sides = np.array([row.split()[:4] for row in rows], np.float32).reshape(-1, 4)
        boxes = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
        path = resolve_inside(root / "WIDER_val/images", name)
        if path.exists():
            yield path, boxes


def wider_ap(predictor: TorchPredictor, photos: list[tuple[Path, np.ndarray]], longest_side: int) -> float:
    """Return the AP of `wider_outcomes`."""
    return wider_outcomes(predictor, photos, longest_side).average_precision()


def wider_outcomes(
    predictor: TorchPredictor, photos: list[tuple[Path, np.ndarray]], longest_side: int
) -> DetectionOutcomes:
    """Detect at IoU .5 the faces of at least `SMALLEST` pixels at this scale.

    Smaller ones are ignored.
    """
    detect = DetectSettings(score=0.02, nms=0.4, longest_side=longest_side)
    detections: list[Detections] = []
    ignored = []
    for path, boxes in track(photos, description=f"WIDER {longest_side}", transient=True, console=Console(stderr=True)):
        photo = read_image(path)
        scaled = resize_to_longest_side(photo, longest_side)
        found = predictor.predict([scaled], detect, embed=False)[0]
        detections.append(scale_detections(found, scaled.shape, photo.shape))
        scale = min(1.0, longest_side / max(photo.shape[:2]))
        ignored.append((boxes[:, 2:] - boxes[:, :2]).min(axis=1) * scale < SMALLEST)
    return evaluate_detections(
        [each.boxes for each in detections],
        [each.scores for each in detections],
        [boxes for _, boxes in photos],
        0.5,
        ignored,
    )


def lfw_found(predictor: TorchPredictor, root: Path) -> tuple[int, int]:
    """Count the photos, of 500 spread over the people.

    Whose center face is found at score .5.
    """
    photos = sorted((root / "images").glob("*/*_0001.jpg"))
    photos = photos[:: len(photos) // LFW_PHOTOS][:LFW_PHOTOS]
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    # Deep-funneled LFW photos hold the face in this middle part.
    middle = np.array([[65, 55, 185, 195]], np.float32)
    found = 0
    for path in track(photos, description="LFW", transient=True, console=Console(stderr=True)):
        boxes = predictor.predict([read_image(path)], detect, embed=False)[0].boxes
        found += bool(len(boxes) and pairwise_iou(boxes, middle).max() >= 0.3)
    return found, len(photos)


if __name__ == "__main__":
    main()
