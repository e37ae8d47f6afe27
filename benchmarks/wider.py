"""Measure WIDER FACE AP by the official protocol, at several scales.

    python benchmarks/wider.py --data ../shared/data
    python benchmarks/wider.py --data ../shared/data --model build/model --out build/wider

The public light detector and a model folder, the released weights by default, detect in every validation photo of
widerface/WIDER_val/images. The labels are those of these photos alone: on a part of the photos the metrics do not
compare with published ones. --out keeps the predictions in the official text files. Prints a Markdown table.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from device_option import add_device_option
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.detections import Detections
from onelook.device import resolve_device
from onelook.evaluation.wider import evaluate_wider
from onelook.evaluation.wider_ground_truth import SETTINGS, WiderPhoto, read_wider_ground_truth
from onelook.evaluation.wider_predictions import write_predictions
from onelook.files import resolve_inside
from onelook.inference.detection_transforms import scale_detections
from onelook.inference.loading import load_torch_predictor
from onelook.inference.resize import resize_to_longest_side
from onelook.inference.test_time_augmentation import predict_multiscale
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

SCALES = {"640": 640, "1024": 1024, "original size": 8192}  # a photo is scaled down to it, never up
SIDES = (640, 1024, 1600)  # of the views, down and up
VOTING = 0.4  # as RetinaFace
DETECT = DetectSettings(score=0.02, nms=0.4, longest_side=8192)

Look = Callable[[np.ndarray], Detections]


def main() -> None:
    """Detect in every photo at every scale with both networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds widerface/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; default: the released weights")
    parser.add_argument("--out", type=Path, help="folder to keep the predictions in, a folder per network and scale")
    add_device_option(parser)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    images = arguments.data / "widerface/WIDER_val/images"
    truth = read_wider_ground_truth(arguments.data / "widerface/ground_truth")
    photos = [photo for photo in truth if image_path(images, photo).is_file()]
    if not photos:
        parser.error(f"{images}: none of the {len(truth)} validation photos is here")
    faces = ", ".join(
        f"{setting} {sum(int(photo.required[setting].sum()) for photo in photos)}" for setting in SETTINGS
    )
    print(f"{len(photos)} of {len(truth)} photos; faces to find: {faces}\n")
    print("| network | longest side | easy | medium | hard |")
    print("|---|---|---|---|---|")
    own = "the released weights" if arguments.model == RELEASED else arguments.model.resolve().name
    networks = {"public detector": public_detector(device), own: load_torch_predictor(arguments.model, device=device)}
    errors = Console(stderr=True)  # the progress bar would leave blank lines in the table
    for network, predictor in networks.items():
        for scale, predict in detection_modes(predictor):
            progress = track(photos, description=f"{network}, {scale}", transient=True, console=errors)
            found = [predict(read_image(image_path(images, photo))) for photo in progress]
            boxes, scores = [each.boxes for each in found], [each.scores for each in found]
            if arguments.out:
                folder = "-".join(re.findall(r"\w+", f"{network} {scale}"))
                write_predictions(arguments.out / folder, photos, boxes, scores)
            curves = evaluate_wider(photos, boxes, scores)
            metrics = " | ".join(f"{curves[setting].average_precision:.4f}" for setting in SETTINGS)
            print(f"| {network} | {scale} | {metrics} |", flush=True)


def image_path(images: Path, photo: WiderPhoto) -> Path:
    """Return a photo's path; never outside `images`."""
    return resolve_inside(images, f"{photo.event}/{photo.name}.jpg")


def detection_modes(predictor: TorchPredictor) -> Iterator[tuple[str, Look]]:
    """Return the detection modes, each with its name for the table."""
    for scale, side in SCALES.items():
        yield scale, lambda photo, side=side: predict_at_scale(predictor, photo, side)
    yield (
        f"{' + '.join(map(str, SIDES))}, mirrored, voted",
        lambda photo: predict_multiscale(predictor, photo, DETECT, SIDES, VOTING),
    )


def predict_at_scale(predictor: TorchPredictor, photo: np.ndarray, side: int) -> Detections:
    """Detect in a photo scaled down to a longest side, without the finer tiles of the photo as given."""
    scaled = resize_to_longest_side(photo, side)
    return scale_detections(predictor.predict([scaled], DETECT, embed=False)[0], scaled.shape, photo.shape)


if __name__ == "__main__":
    main()
