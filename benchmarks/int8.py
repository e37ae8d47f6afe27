"""Compare an exported model in 8 bits with float32: file size, time and accuracy.

    python benchmarks/int8.py --data ../shared/data [--model build/model]

The 8-bit file is calibrated on web photos. AP is measured on WIDER FACE photos, verification on LFW's pairs of test
people: with one model for both sides, and with one side embedded in float32, as in an older gallery. Times are of web
photos at 640 x 480 pixels; the models take turns. Prints a Markdown table.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from detection_retention import wider_ap
from lfw_verification import embed_center_faces
from study_metrics import WIDER_SIDE, Bench

from onelook.data.image_io import read_image
from onelook.detections import Detections
from onelook.evaluation.verification import fold_accuracy, tar_at_far
from onelook.export.onnx_writer import write_onnx
from onelook.export.quantization import read_calibration_images
from onelook.inference.loading import load_torch_predictor
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, WEIGHTS
from onelook.model.serialization import load_model
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)
TIMED, ROUNDS = 20, 5  # images, and predictions of each


class Exported(OnnxPredictor):
    """An exported model that accepts `embed`; it always computes embeddings."""

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Predict as `OnnxPredictor.predict`."""
        return super().predict(images, detect)


def main() -> None:
    """Export in float32 and in 8 bits, evaluate all three, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds scenes/, widerface/ and lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    arguments = parser.parse_args()
    predictor = load_torch_predictor(arguments.model)
    web = sorted((arguments.data / "scenes/images").glob("*.jpg"))
    with TemporaryDirectory() as folder:
        whole, small = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        write_onnx(whole, load_model(arguments.model), predictor.fingerprint)
        write_onnx(small, load_model(arguments.model), predictor.fingerprint, read_calibration_images(web, predictor))
        files = {"torch, float32": arguments.model / WEIGHTS, "onnxruntime, float32": whole, "onnxruntime, int8": small}
        sizes = {name: file.stat().st_size / 1e6 for name, file in files.items()}
        predictors: dict[str, Any] = {
            name: predictor if name.startswith("torch") else Exported(file) for name, file in files.items()
        }
    times = time_each(list(predictors.values()), web[:: len(web) // TIMED][:TIMED])
    bench = Bench(arguments.data)
    print("| | file | a VGA photo | WIDER AP | LFW accuracy | TAR at 1 % FAR | against float: accuracy | TAR |")
    print("|---|---|---|---|---|---|---|---|")
    first = None
    for (name, each), took in zip(predictors.items(), times, strict=True):
        embeddings = embed_center_faces(each, bench.photos)[2]
        first = embeddings if first is None else first
        cells = [f"{sizes[name]:.1f} MB", f"{took:.1f} ms", f"{wider_ap(each, bench.wider, WIDER_SIDE):.3f}"]
        for other in (embeddings, first):
            similarities = (embeddings[bench.places[:, 0]] * other[bench.places[:, 1]]).sum(axis=1)
            cells.append(f"{fold_accuracy(similarities, bench.same).mean:.3f}")
            cells.append(f"{tar_at_far(similarities, bench.same, 0.01):.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def time_each(predictors: Sequence[Predictor], files: Sequence[Path]) -> list[float]:
    """Return the median milliseconds per image of each predictor."""
    photos = [cv2.resize(read_image(file), (640, 480), interpolation=cv2.INTER_AREA) for file in files]
    took = np.zeros((ROUNDS + 1, len(photos), len(predictors)))
    for round_ in took:
        for row, photo in zip(round_, photos, strict=True):
            for column, predictor in enumerate(predictors):
                start = time.perf_counter()
                predictor.predict([photo], DETECT)
                row[column] = 1000 * (time.perf_counter() - start)
    medians: list[float] = np.median(took[1:], axis=(0, 1)).tolist()  # the first round warms up
    return medians


if __name__ == "__main__":
    main()
