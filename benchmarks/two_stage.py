"""Compare two-stage systems, trained here as baselines, with one forward pass: accuracy, cost and training time.

    dvc exp run -S 'baselines=[mtcnn,mobilefacenet]'
    python benchmarks/two_stage.py --data ../shared/data --baselines build/baselines --model build/model --minutes 25
    python benchmarks/two_stage.py --data ../shared/data --baselines build/baselines --limit 20

Rows: MTCNN and MobileFaceNet as trained here; the public MTCNN of facenet-pytorch, where the wheel is installed
(`pip install --no-deps facenet-pytorch==2.6.0`), before the same MobileFaceNet; the detector of the model folder before
it, and before mobilefacenet_average where it was trained; and the model folder in one pass. Columns:

- WIDER AP easy, medium and hard by the official protocol, photos scaled down to a longest side of 640 pixels.
- Point error on photos with points marked by people, by the distance of the eyes: the eyes of scenes/
  (`landmark_photos.py`) and, with --helen, all five points of Helen. The test part of the photos, as `prepare` splits
  them with its defaults; of the faces that all systems find.
- Accuracy on LFW's development test and on the two folds of CFP, frontal and profile, end to end from the photo. The
  face of a photo is the detection nearest its center; without one its pairs are wrong.
- Milliseconds for a VGA image of 1, 8 and 32 faces, detection to embeddings: medians over rounds in turns.
- Parameters, and minutes of training, which for a joint network are those that --minutes names.

A second table has the networks of MTCNN on the same photos, with the columns of `mtcnn_stages.py`.
--limit takes at most that many photos or pairs a column: the figures are then partial. Prints two Markdown tables.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from device_option import add_device_option
from landmark_photos import SCENES, read_marked_photos, select_photos
from mtcnn_stages import Row, print_table, stage_rows
from one_look import MOSAICS, compose_grid
from pair_metrics import Pairs, measure_given, score_given
from recognition_pairs import CFP, LFW, read_cfp_pairs, read_lfw_pairs, spread
from recognition_systems import Photo, nearest_center, require, stack_rows
from rich.console import Console
from rich.progress import track
from two_stage_systems import System, open_systems
from wider import image_path

from onelook.data.detection_scenes import DetectionImage
from onelook.data.image_io import read_image
from onelook.detections import Detections
from onelook.device import resolve_device
from onelook.errors import OnelookError
from onelook.evaluation.average_precision import match_detections
from onelook.evaluation.landmarks import interocular_errors
from onelook.evaluation.wider import evaluate_wider
from onelook.evaluation.wider_ground_truth import SETTINGS, read_wider_ground_truth
from onelook.inference.baseline_predictors import MtcnnPredictor
from onelook.inference.detection_transforms import scale_detections
from onelook.inference.resize import resize_to_longest_side
from onelook.model.model_folder import RELEASED
from onelook.process import configure_process
from onelook.settings import DetectSettings

WIDER_SIDE, WIDER_SCORE = 640, 0.02
MATCH_IOU = 0.5
ROUNDS, WARMUP = 15, 2


def main() -> None:
    """Measure all systems and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw/, cfp_folds_1_2/, widerface/, scenes/")
    parser.add_argument("--baselines", type=Path, required=True, help="folder that the stage baselines wrote")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--minutes", type=float, help="minutes of training of the model folder")
    parser.add_argument("--helen", type=Path, help="folder that pts_annotations.py wrote of Helen's training part")
    parser.add_argument("--limit", type=int, help="most photos or pairs of a column")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of the timing")
    add_device_option(parser)
    arguments = parser.parse_args()
    configure_process()
    try:
        device = resolve_device(arguments.device)
        systems = open_systems(arguments.model, arguments.baselines, arguments.minutes, device)
        print(f"{torch.get_num_threads()} threads, {device}.")
        if arguments.limit is not None:
            print(f"**Partial: at most {arguments.limit} photos or pairs a column (--limit).**")
        marked = {
            name: select_photos(photos, "test", arguments.limit)
            for name, photos in read_marked_photos(arguments.data, arguments.helen).items()
        }
        print_table(measure_systems(systems, arguments.data, marked, arguments.limit, arguments.rounds))
        print()
        print_table(measure_stages(systems, marked[SCENES]))
    except OnelookError as error:
        sys.exit(str(error))


def measure_systems(
    systems: Sequence[System],
    data: Path,
    marked: Mapping[str, Sequence[DetectionImage]],
    limit: int | None,
    rounds: int,
) -> list[Row]:
    """Return the rows of the first table; `marked` are the photos with points, by the name of their set."""
    rows: list[Row] = [{"system": system.name} for system in systems]
    errors = {name: point_errors(systems, photos, name) for name, photos in marked.items()}
    times = time_systems(systems, data, rounds)
    for row, system in zip(rows, systems, strict=True):
        row |= wider_columns(system, data, limit)
        row |= {f"point error, {name}": own[system.name] for name, own in errors.items()}
        row |= pair_columns(system, data, limit)
        row |= {f"ms, faces: {faces}": f"{times[system.name][faces]:.1f}" for faces in MOSAICS}
        row["parameters"] = f"{system.parameters:,}"
        row["training, min"] = "–" if system.minutes is None else f"{system.minutes:.0f}"
    return rows


def wider_columns(system: System, data: Path, limit: int | None) -> Row:
    """Measure WIDER AP."""
    images = require(data / "widerface/WIDER_val/images")
    truth = read_wider_ground_truth(data / "widerface/ground_truth")
    photos = spread([photo for photo in truth if image_path(images, photo).is_file()], limit)
    detect = DetectSettings(score=WIDER_SCORE, longest_side=WIDER_SIDE)
    found = []
    for photo in progress(photos, f"WIDER, {system.name}"):
        image = read_image(image_path(images, photo))
        scaled = resize_to_longest_side(image, WIDER_SIDE)
        detections = system.detector.predict([scaled], detect, embed=False)[0]
        found.append(scale_detections(detections, scaled.shape, image.shape))
    curves = evaluate_wider(photos, [each.boxes for each in found], [each.scores for each in found])
    return {f"AP {setting}": f"{curves[setting].average_precision:.3f}" for setting in SETTINGS}


def point_errors(systems: Sequence[System], photos: Sequence[DetectionImage], name: str) -> dict[str, str]:
    """Return the mean point error of each system over the faces of a set that all of them find."""
    columns = []
    for system in systems:
        errors = []
        for photo in progress(photos, f"points of {name}, {system.name}"):
            found = system.detector.predict([read_image(photo.path)], DetectSettings(), embed=False)[0]
            errors.append(face_errors(found, photo))
        columns.append(np.concatenate(errors))
    table = np.stack(columns)
    common = np.isfinite(table).all(0)
    print(
        f"Points of {name}: {common.sum()} faces that all systems find, of {table.shape[1]} in {len(photos)} photos.\n"
    )
    means = table[:, common].mean(1) if common.any() else np.full(len(systems), np.nan)
    return {system.name: f"{mean:.4f}" for system, mean in zip(systems, means, strict=True)}


def face_errors(found: Detections, photo: DetectionImage) -> np.ndarray:
    """Return the error (n,) of each labeled face of a photo; NaN where it was not found."""
    boxes = np.array([face.box for face in photo.faces], np.float32).reshape(-1, 4)
    labeled = np.array([face.landmarks for face in photo.faces], np.float32).reshape(-1, 5, 2)
    matches, is_first = match_detections(found.boxes, boxes, MATCH_IOU)
    errors = np.full(len(boxes), np.nan)
    errors[matches[is_first]] = interocular_errors(found.landmarks[is_first], labeled[matches[is_first]])
    return errors


def pair_columns(system: System, data: Path, limit: int | None) -> Row:
    """Measure the accuracy on LFW and CFP."""
    paths, pairs = read_lfw_pairs(require(data / LFW), limit)
    sets: dict[str, tuple[list[Photo], Pairs]] = {"LFW": ([Photo(path) for path in paths], pairs)}
    sets |= {f"CFP {kind}": read_cfp_pairs(require(data / CFP), kind, limit) for kind in ("FF", "FP")}
    columns = {}
    for name, (photos, own) in sets.items():
        rows: list[np.ndarray | None] = []
        for photo in progress(photos, f"{name}, {system.name}"):
            image = read_image(photo.path)
            face = nearest_center(system.recognizer.predict(image, DetectSettings()), image)
            rows.append(face.embeddings[0] if len(face) else None)
        accuracy = measure_given(score_given(stack_rows(rows), own), own)["accuracy"]
        columns[name] = f"{accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]"
    return columns


def time_systems(systems: Sequence[System], data: Path, rounds: int) -> dict[str, dict[int, float]]:
    """Return the median milliseconds of each system by number of faces; the systems take turns."""
    images = {faces: compose_grid(data, *shape) for faces, shape in MOSAICS.items()}
    taken: dict[str, dict[int, list[float]]] = {system.name: {faces: [] for faces in MOSAICS} for system in systems}
    for turn in progress(range(WARMUP + rounds), "timing"):
        for faces, image in images.items():
            for system in systems:
                start = time.perf_counter()
                system.recognizer.predict(image, DetectSettings())
                if turn >= WARMUP:
                    taken[system.name][faces].append(1000 * (time.perf_counter() - start))
    return {name: {faces: statistics.median(each) for faces, each in own.items()} for name, own in taken.items()}


def measure_stages(systems: Sequence[System], photos: Sequence[DetectionImage]) -> list[Row]:
    """Return the rows of the second table, named after the detectors alone."""
    rows = []
    for system in systems:
        if isinstance(system.detector, MtcnnPredictor):
            rows += stage_rows(system.name.split(" + ")[0], system.detector, photos)
    return rows


def progress(items: Sequence, description: str):
    """Return the items with a progress bar on stderr."""
    return track(items, description=description, transient=True, console=Console(stderr=True))


if __name__ == "__main__":
    main()
