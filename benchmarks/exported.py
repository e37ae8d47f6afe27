"""Compare an exported model in onnxruntime with the same weights in torch: differences and time per image.

    python benchmarks/exported.py --data ../shared/data [--model build/model] [--photos 40]

Web photos of groups and photos of LFW, one image at a time, each library with its default number of threads. Prints a
Markdown table.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.export.onnx_writer import write_onnx
from onelook.inference.loading import load_torch_predictor
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.serialization import load_model
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
WARM_UP = 3
FIELDS = ("boxes", "scores", "landmarks", "embeddings")


def main() -> None:
    """Export, predict with both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds scenes/ and lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--photos", type=int, default=40, help="of each set, spread over it")
    arguments = parser.parse_args()
    predictor = load_torch_predictor(arguments.model)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(file, load_model(arguments.model), predictor.fingerprint)
        exported = OnnxPredictor(file)
    print(
        f"| photos | faces | largest difference of {', '.join(FIELDS)} | torch | onnxruntime |\n|---|---|---|---|---|"
    )
    for name in ("scenes", "lfw"):
        files = sorted((arguments.data / name / "images").rglob("*.jpg"))
        paths = files[:: max(1, len(files) // arguments.photos)][: arguments.photos]
        counts, max_difference, times = [], dict.fromkeys(FIELDS, 0.0), []
        for path in track([*paths[:WARM_UP], *paths], name, transient=True, console=Console(stderr=True)):
            image = read_image(path)
            start = time.perf_counter()
            expected = predictor.predict([image], DETECT)[0]
            middle = time.perf_counter()
            found = exported.predict([image], DETECT)[0]
            times.append((middle - start, time.perf_counter() - middle))
            counts.append(len(found))
            for part in FIELDS:
                difference = np.abs(getattr(found, part) - getattr(expected, part)).max(initial=0)
                max_difference[part] = max(max_difference[part], float(difference))
        torch_ms, onnx_ms = 1000 * np.median(times[WARM_UP:], axis=0)
        faces = sum(counts[WARM_UP:])
        differences = ", ".join(f"{value:.0e}" for value in max_difference.values())
        print(f"| {name}, {len(paths)} | {faces} | {differences} | {torch_ms:.1f} ms | {onnx_ms:.1f} ms |")


if __name__ == "__main__":
    main()
