"""An exported model beside the same weights in torch: how far apart the answers are, and how long a look takes.

    python benchmarks/exported.py --data ../shared/data [--model build/model] [--photos 40]

Web photos of groups, and photos of LFW; one photo at a time, each library with as many threads as it takes by itself.
Prints a Markdown table.
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
TOLD = ("boxes", "scores", "landmarks", "embeddings")


def main() -> None:
    """Export, look at the photos with both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds scenes/ and lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--photos", type=int, default=40, help="of each set, spread over it")
    arguments = parser.parse_args()
    looker = load_torch_predictor(arguments.model)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(file, load_model(arguments.model), looker.fingerprint)
        exported = OnnxPredictor(file)
    print(f"| photos | faces | largest difference of {', '.join(TOLD)} | torch | onnxruntime |\n|---|---|---|---|---|")
    for name in ("scenes", "lfw"):
        files = sorted((arguments.data / name / "images").rglob("*.jpg"))
        chosen = files[:: max(1, len(files) // arguments.photos)][: arguments.photos]
        counts, apart, times = [], dict.fromkeys(TOLD, 0.0), []
        for path in track([*chosen[:WARM_UP], *chosen], name, transient=True, console=Console(stderr=True)):
            photo = read_image(path)
            start = time.perf_counter()
            expected = looker.predict([photo], DETECT)[0]
            middle = time.perf_counter()
            found = exported.predict([photo], DETECT)[0]
            times.append((middle - start, time.perf_counter() - middle))
            counts.append(len(found))
            for part in TOLD:
                difference = np.abs(getattr(found, part) - getattr(expected, part)).max(initial=0)
                apart[part] = max(apart[part], float(difference))
        torch_ms, onnx_ms = 1000 * np.median(times[WARM_UP:], axis=0)
        faces = sum(counts[WARM_UP:])
        differences = ", ".join(f"{value:.0e}" for value in apart.values())
        print(f"| {name}, {len(chosen)} | {faces} | {differences} | {torch_ms:.1f} ms | {onnx_ms:.1f} ms |")


if __name__ == "__main__":
    main()
