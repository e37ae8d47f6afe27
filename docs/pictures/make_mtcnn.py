"""Make the picture of MTCNN's networks in the documentation.

    dvc exp run -S 'baselines=[mtcnn]'
    python docs/pictures/make_mtcnn.py --data ../shared/data --baselines build/baselines  # writes mtcnn.jpg

Three rows: the windows that P-Net, R-Net and O-Net accept, moved by their offsets, in a group composed of portraits.
O-Net's have its five points. Prints the number of each.

Portraits: Face Research Lab London Set, DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0.
Everyone in it consented to being shown.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from make_group import compose
from PIL import Image

from onelook.drawing import draw_boxes
from onelook.inference.baseline_predictors import MtcnnPredictor, open_baselines
from onelook.inference.mtcnn_cascade import run_cascade

SIZE = (800, 400)
QUALITY = 85


def main() -> None:
    """Compose, detect, draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--baselines", type=Path, required=True, help="folder that the stage baselines wrote")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "mtcnn.jpg")
    arguments = parser.parse_args()
    mtcnn = open_baselines(arguments.baselines, torch.device("cpu")).get("mtcnn")
    if not isinstance(mtcnn, MtcnnPredictor):
        raise SystemExit(f"{arguments.baselines}: has no mtcnn; `dvc exp run -S baselines=[mtcnn]`")
    networks = list(mtcnn.mtcnn.networks)
    image = cv2.resize(compose(arguments.data / "portraits"), SIZE, interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    rows = []
    for count in range(1, len(networks) + 1):
        found = run_cascade(networks[:count], pixels)
        is_valid = found.is_valid[0]
        points = found.landmarks[0][is_valid].numpy() if count == len(networks) else None
        rows.append(draw_boxes(image, found.boxes[0][is_valid].numpy(), points))
        print(f"network {count}: {int(is_valid.sum())} windows")
    Image.fromarray(np.concatenate(rows)).save(arguments.out, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
