"""Make the picture of the landmark cascades in the documentation.

    python benchmarks/landmarks.py --data ../shared/data --helen build/helen
    python docs/pictures/make_landmarks.py --data ../shared/data     # writes docs/pictures/landmark_levels.jpg

Two portraits a cell: the points after each level of each cascade, in the boxes that the released network detects, and
in the last row that network's own points. Prints the mean distance of each from those, by the distance of the eyes.

Portraits: Face Research Lab London Set, DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0.
Everyone in it consented to being shown.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from onelook.data.image_io import read_image
from onelook.drawing import ORANGE, draw_boxes, tile_images
from onelook.evaluation.landmarks import interocular_errors
from onelook.inference.baseline_predictors import open_baselines
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

PORTRAITS = ("042_smiling", "025_neutral")
CELL = 150  # side of a face, in pixels
TITLE = 24  # height of a title, in pixels
QUALITY = 88


def main() -> None:
    """Detect, predict, draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--cascades", type=Path, default=Path("build/landmarks/models"), help="folder of landmarks.py")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "landmark_levels.jpg")
    arguments = parser.parse_args()
    predictor = load_torch_predictor(RELEASED)
    photos = [read_image(arguments.data / "portraits" / f"{name}.jpg") for name in PORTRAITS]
    found = predictor.predict(photos, DetectSettings(), embed=False)
    if any(len(faces) != 1 for faces in found):
        raise SystemExit("a portrait has not one detected face; choose another")
    rows: dict[str, np.ndarray] = {}
    for name, cascade in open_baselines(arguments.cascades, torch.device("cpu")).items():
        if isinstance(cascade, LandmarkPredictor):
            levels = [cascade.predict_levels(photo, faces.boxes) for photo, faces in zip(photos, found, strict=True)]
            rows[name.removeprefix("landmarks_")] = np.stack(levels, axis=1)
    if not rows:
        raise SystemExit(f"{arguments.cascades}: has no cascade; run benchmarks/landmarks.py first")
    own = np.stack([faces.landmarks for faces in found])
    rows["joint network"] = own[None]
    columns = max(map(len, rows.values()))
    cells = []
    for row, points_of_levels in rows.items():
        for number, points in enumerate(points_of_levels, 1):
            title = row if len(points_of_levels) == 1 else f"{row} {number}"
            cells.append(draw_cell(photos, np.concatenate([faces.boxes for faces in found]), points[:, 0], title))
            print(f"{title}: {interocular_errors(points[:, 0], own[:, 0]).mean():.3f}")
        cells += [np.full_like(cells[0], 255)] * (columns - len(points_of_levels))
    width = columns * (cells[0].shape[1] + 4) + 4
    Image.fromarray(tile_images(cells, columns, width)).save(arguments.out, quality=QUALITY, optimize=True)


def draw_cell(photos: list[np.ndarray], boxes: np.ndarray, points: np.ndarray, title: str) -> np.ndarray:
    """Cut the faces in boxes (n, 4) out of n photos, side by side, and draw points (n, 5, 2) and a title."""
    faces, moved = [], []
    for number, (photo, box, own) in enumerate(zip(photos, boxes, points, strict=True)):
        side = float((box[2:] - box[:2]).max())
        corner = (box[:2] + box[2:] - side) / 2
        window = (*corner, *(corner + side))
        resized = Image.fromarray(photo).resize((CELL, CELL), Image.Resampling.LANCZOS, box=window)
        faces.append(np.asarray(resized))
        moved.append((own - corner) * (CELL / side) + [number * CELL, TITLE])
    image = np.concatenate([np.full((TITLE, CELL * len(faces), 3), 255, np.uint8), np.concatenate(faces, axis=1)])
    lefts = CELL * np.arange(len(faces))
    corners = np.stack([lefts, np.full_like(lefts, TITLE), lefts + CELL, np.full_like(lefts, TITLE + CELL)], axis=1)
    labels = [title, *[""] * (len(faces) - 1)]
    return draw_boxes(image, corners, np.stack(moved), labels, [ORANGE] * len(faces), [True] * len(faces))


if __name__ == "__main__":
    main()
