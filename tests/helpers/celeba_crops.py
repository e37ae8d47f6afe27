"""A small folder in the form of faces/celeba, with painted people."""

from pathlib import Path

import cv2
import numpy as np

from onelook.geometry.alignment import REFERENCE_LANDMARKS

COLUMNS = "file,x1,y1,x2,y2,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y,left_mouth_x,left_mouth_y,"
COLUMNS += "right_mouth_x,right_mouth_y"


def write_celeba_crops(folder: Path, known: int, unseen: int) -> Path:
    """Write eight photos each of `known` people, and three each of `unseen` ones, of a color a person."""
    rng = np.random.default_rng(0)
    rows = [COLUMNS]
    counts = [8] * known + [3] * unseen
    colors = rng.integers(60, 256, (len(counts), 3))
    for person, count in enumerate(counts):
        (folder / f"images/{person:05d}").mkdir(parents=True)
        for number in range(count):
            x, y = rng.uniform(-8, 8, 2).round(1)
            width = rng.uniform(48, 72)
            image = rng.integers(0, 40, (128, 128, 3), dtype=np.uint8)
            center = (round(64 + x), round(64 + y))
            cv2.ellipse(image, center, (round(width / 2), 40), 0, 0, 360, colors[person].tolist(), -1)
            points = REFERENCE_LANDMARKS * 0.6 + [64 + x - 33.6, 64 + y - 43]
            name = f"{person:05d}/{number:06d}.jpg"
            cv2.imwrite(str(folder / "images" / name), image)
            box = [64 + x - width / 2, 24 + y, 64 + x + width / 2, 104 + y]
            rows.append(",".join([name, *(f"{value:.1f}" for value in [*box, *points.ravel()])]))
    (folder / "faces.csv").write_text("\n".join(rows) + "\n")
    return folder
