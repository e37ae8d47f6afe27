"""Make the photos of the notebook: a group of four people, and other photos of three of them.

python docs/pictures/make_notebook_photos.py --data ../shared/data  # writes notebook_{group,people}.jpg

Portraits: Face Research Lab London Set, DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0.
Everyone in it consented to being shown.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from make_group import paste, studio
from PIL import Image

from onelook.data.image_io import read_image

PEOPLE = ("030", "008", "003", "042")
"""From left to right; the last has no other photo."""

WIDTH, HEIGHT = 960, 330
CROWNS = (90, 40, 120, 60)  # height of each crown, in pixels from the top
HEAD_HEIGHT = 150  # from crown to chin, in pixels
PORTRAIT_WIDTH = 200
QUALITY = 88


def main() -> None:
    """Compose and write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    portraits: Path = arguments.data / "portraits"
    group = studio(HEIGHT, WIDTH)
    for column, (number, crown) in enumerate(zip(PEOPLE, CROWNS, strict=True)):
        center = WIDTH * (column + 0.5) / len(PEOPLE)
        paste(group, read_image(portraits / f"{number}_smiling.jpg"), center, crown, HEAD_HEIGHT)
    row = []
    for number in PEOPLE[:-1]:
        portrait = read_image(portraits / f"{number}_neutral.jpg")
        height = round(PORTRAIT_WIDTH * portrait.shape[0] / portrait.shape[1])
        row.append(cv2.resize(portrait, (PORTRAIT_WIDTH, height), interpolation=cv2.INTER_AREA))
    people = np.hstack([portrait[: min(map(len, row))] for portrait in row])
    for name, image in (("group", group.round().astype(np.uint8)), ("people", people)):
        Image.fromarray(image).save(arguments.out / f"notebook_{name}.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
