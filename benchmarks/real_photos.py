"""Is real-photo detection kept? WIDER FACE AP and the share of LFW faces found, before and after joint training.

    python benchmarks/real_photos.py --data ../shared/data [--model build/model]

The public detector, the released weights and those that `make repro` left look at the same photos at the same scale.
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
from onelook.evaluation.average_precision import judge_detections
from onelook.files import inside
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.serialization import RELEASED
from onelook.settings import DetectSettings

LFW_PHOTOS = 500
SMALLEST = 10  # pixels of the photo as it is looked at; smaller faces are ignored


def main() -> None:
    """Measure the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds widerface/ and lfw/")
    parser.add_argument("--model", type=Path, help="folder that train wrote")
    arguments = parser.parse_args()
    lookers = {"starting weights": public_detector(), "the released weights": load_torch_predictor(RELEASED)}
    if arguments.model is not None:
        lookers["after joint training"] = load_torch_predictor(arguments.model)
    photos = list(wider_photos(arguments.data / "widerface"))
    print("| network | WIDER AP .5, longest side 640 | WIDER AP .5, longest side 1024 | LFW faces found |")
    print("|---|---|---|---|")
    for name, looker in lookers.items():
        precisions = [wider_ap(looker, photos, side) for side in (640, 1024)]
        found, total = lfw_found(looker, arguments.data / "lfw")
        cells = [f"{value:.4f}" for value in precisions]
        print(f"| {name} | {' | '.join(cells)} | {found} of {total} ({found / total:.1%}) |")


def wider_photos(root: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Each photo and its boxes (n, 4; x1 y1 x2 y2), from the official ground-truth text file."""
    lines = iter((root / "wider_face_split/wider_face_val_bbx_gt.txt").read_text().splitlines())
    for name in lines:
        count = int(next(lines))
        rows = [next(lines) for _ in range(max(1, count))][:count]  # a photo without a face has one row of zeros
        sides = np.array([row.split()[:4] for row in rows], np.float32).reshape(-1, 4)
        boxes = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
        path = inside(root / "WIDER_val/images", name)
        if path.exists():
            yield path, boxes


def wider_ap(looker: TorchPredictor, photos: list[tuple[Path, np.ndarray]], longest_side: int) -> float:
    """AP at IoU .5 over all faces of at least `SMALLEST` pixels at this scale; smaller ones are ignored."""
    detect = DetectSettings(score=0.02, nms=0.4, longest_side=longest_side)
    seen: list[Detections] = []
    ignored = []
    for path, boxes in track(photos, description=f"WIDER {longest_side}", transient=True, console=Console(stderr=True)):
        photo = read_image(path)
        seen += looker.predict([photo], detect, embed=False)
        scale = min(1.0, longest_side / max(photo.shape[:2]))
        ignored.append((boxes[:, 2:] - boxes[:, :2]).min(axis=1) * scale < SMALLEST)
    outcomes = judge_detections(
        [each.boxes for each in seen], [each.scores for each in seen], [boxes for _, boxes in photos], 0.5, ignored
    )
    return outcomes.average_precision()


def lfw_found(looker: TorchPredictor, root: Path) -> tuple[int, int]:
    """In how many of 500 photos, spread over the people, the face in the middle is found at score .5."""
    photos = sorted((root / "images").glob("*/*_0001.jpg"))
    photos = photos[:: len(photos) // LFW_PHOTOS][:LFW_PHOTOS]
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    # Deep-funneled LFW photos hold the face in this middle part.
    middle = np.array([[65, 55, 185, 195]], np.float32)
    found = 0
    for path in track(photos, description="LFW", transient=True, console=Console(stderr=True)):
        boxes = looker.predict([read_image(path)], detect, embed=False)[0].boxes
        found += bool(len(boxes) and pairwise_iou(boxes, middle).max() >= 0.3)
    return found, len(photos)


if __name__ == "__main__":
    main()
