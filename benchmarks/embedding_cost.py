"""Time the embedding of one more face against MobileFaceNet on crops.

    python benchmarks/embedding_cost.py --data ../shared/data [--model build/model]

Ours: 32 faces of a VGA photo as one batch, from the shared maps to embeddings. MobileFaceNet: the file as shipped, one
aligned crop at a time through onnxruntime (its batch is fixed at 1), with the cost of cropping beside it. Then the
reference sampler against the fast one. Two threads; medians. Prints Markdown tables.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from onelook.geometry.alignment import REFERENCE_LANDMARKS, align_crop
from onelook.inference.fast.sampling import FastSampler
from onelook.inference.loading import load_torch_predictor
from onelook.model.embedding_head import FeatureSampler
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import PIXEL_CHANNELS
from onelook.process import retain_freed_memory
from onelook.settings import EmbeddingSettings

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
    retain_freed_memory()
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

    import onnxruntime  # after onelook, which switches its telemetry off

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
    print(f"\nThe shared pass over the {WIDTH}x{HEIGHT} photo: {looking:.1f} ms.\n")
    print_sampler_table(points)


def print_sampler_table(landmarks: torch.Tensor) -> None:
    """Time both samplers on random float32 maps of the released network's shapes, and print the table."""
    settings = EmbeddingSettings()
    channels = {1: PIXEL_CHANNELS, 2: 16, 4: 32, 8: 64, 16: 64}
    maps = [torch.randn(1, channels[stride], HEIGHT // stride, WIDTH // stride) for stride in settings.strides]
    maps = [x.contiguous(memory_format=torch.channels_last) for x in maps]
    samplers = FeatureSampler(settings), FastSampler(settings)
    print("| faces | FeatureSampler, ms | FastSampler, ms |")
    print("|---|---|---|")
    for count in (1, 8, FACES):
        with torch.inference_mode():
            reference, fast = (milliseconds(partial(each, maps, [landmarks[:count]])) for each in samplers)
        print(f"| {count} | {reference:.1f} | {fast:.1f} |")
    for x in maps[1:]:  # the first one is the photo
        x.requires_grad_()
    reference, fast = (milliseconds(partial(sample_with_gradients, each, maps, landmarks)) for each in samplers)
    print(f"| {FACES}, with the gradients of the maps | {reference:.0f} | {fast:.0f} |")


def sample_with_gradients(sampler: FeatureSampler, maps: Sequence[torch.Tensor], landmarks: torch.Tensor) -> None:
    """Sample maps and compute the gradients of the samples' sum."""
    samples, _ = sampler(maps, [landmarks])
    torch.autograd.grad(torch.stack([each.sum() for each in samples]).sum(), maps[1:])


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
