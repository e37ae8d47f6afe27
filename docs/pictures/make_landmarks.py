"""Make the picture of the landmark cascades in the documentation.

    python benchmarks/landmarks.py --data ../shared/data --helen build/helen
    python docs/pictures/make_landmarks.py --data ../shared/data     # writes docs/pictures/landmark_levels.png

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
from onelook.drawing import draw_boxes, tile_images
from onelook.evaluation.landmarks import interocular_errors
from onelook.inference.baseline_predictors import open_baselines
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

PORTRAITS = ("042_smiling", "025_neutral")
MARGIN = 0.25
"""Margin around a box, as a fraction of its longer side."""
CELL = 240  # width of two portraits, in pixels


def main() -> None:
    """Detect, predict, draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--cascades", type=Path, default=Path("build/landmarks/models"), help="folder of landmarks.py")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "landmark_levels.png")
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
    Image.fromarray(tile_images(cells, columns, columns * CELL)).save(arguments.out, optimize=True)


def draw_cell(photos: list[np.ndarray], boxes: np.ndarray, points: np.ndarray, title: str) -> np.ndarray:
    """Draw boxes (n, 4) and points (n, 5, 2) into n photos and cut the faces out, side by side, under a title."""
    faces: list[np.ndarray] = []
    for photo, box, own in zip(photos, boxes, points, strict=True):
        side = float((box[2:] - box[:2]).max()) * (1 + 2 * MARGIN)
        left, top = ((box[:2] + box[2:] - side) / 2).round().astype(int)
        right, bottom = left + round(side), top + round(side)
        labels = None if faces else [title]
        drawn = draw_boxes(photo, box[None], own[None], labels, thin=[True])
        resized = Image.fromarray(drawn).crop((left, top, right, bottom)).resize((CELL, CELL), Image.Resampling.LANCZOS)
        faces.append(np.asarray(resized))
    return np.concatenate(faces, axis=1)


if __name__ == "__main__":
    main()
