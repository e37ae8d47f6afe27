"""Time the embedding of one more face against MobileFaceNet on crops.

    python benchmarks/embedding_cost.py --data ../shared/data [--model build/model]

Ours: 32 faces of a VGA photo as one batch, from the shared maps to embeddings. MobileFaceNet: the file as shipped, one
aligned crop at a time through onnxruntime (its batch is fixed at 1), with the cost of cropping beside it. Two threads;
medians. Prints a Markdown table.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from onelook.geometry.alignment import REFERENCE_LANDMARKS, align_crop
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED

FACES, ROUNDS = 32, 30
HEIGHT, WIDTH = 480, 640
THREADS = 2


def main() -> None:
    """Time both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds weights/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    places = rng.uniform((0, 0), (WIDTH - 90, HEIGHT - 90), (FACES, 1, 2))
    landmarks = (REFERENCE_LANDMARKS / 112 * 80 + places + rng.normal(0, 1, (FACES, 5, 2))).astype(np.float32)

    network = load_torch_predictor(arguments.model).network
    image = torch.from_numpy(photo.transpose(2, 0, 1)[None].copy())
    points = torch.from_numpy(landmarks)
    with torch.inference_mode():
        maps = network(image).feature_maps
        sampling = milliseconds(lambda: network.embedding.sample(maps, [points])) / FACES
        ours = milliseconds(lambda: network.embed(maps, [points])) / FACES
        looking = milliseconds(lambda: network(image))

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(arguments.data / "weights/mobilefacenet.onnx"), options)
    name = session.get_inputs()[0].name
    crop = rng.standard_normal((1, 3, 112, 112), np.float32)
    theirs = milliseconds(lambda: session.run(None, {name: crop}))
    cutting = milliseconds(lambda: align_crop(photo, landmarks[0]))
    print("| one more face | milliseconds | ratio |")
    print("|---|---|---|")
    print(f"| onelook: sampling and tail, of {FACES} in a batch | {ours:.2f} (sampling {sampling:.2f}) | 1 |")
    print(f"| MobileFaceNet, onnxruntime, one at a time | {theirs:.2f} | {theirs / ours:.1f} |")
    print(f"| … and cutting the crop | {theirs + cutting:.2f} | {(theirs + cutting) / ours:.1f} |")
    print(f"\nThe shared pass over the {WIDTH}x{HEIGHT} photo: {looking:.1f} ms.")


def milliseconds(run: Callable[[], object]) -> float:
    """Return the median duration of a call in milliseconds."""
    times = []
    for _ in range(ROUNDS + 3):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
