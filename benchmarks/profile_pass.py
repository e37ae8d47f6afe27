"""Where the milliseconds of a look go: each part of the pass by itself, before and after the network is made ready.

    python benchmarks/profile_pass.py --data ../shared/data [--model build/model]

A VGA photo of 32 faces, two threads; medians of 40 calls of each part on what the part before it gave. *As trained* is
the network as training leaves it. The last table is a whole look at photos of 1, 8 and 32 faces, and at a photo of 32 x
32 pixels, which is all overhead; of memory that is kept or given back (`onelook/inference/fast/memory.py`) by processes of their
own. Prints Markdown tables.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from one_look import DETECT, HEIGHT, MOSAICS, THREADS, WIDTH, mosaic

from onelook.inference.decoding import decode_image_outputs
from onelook.inference.fast.network import fastest_precision
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import MobileNet
from onelook.model.serialization import load_model

ROUNDS = 40
GIVEN_BACK = "--memory-given-back"


def main() -> None:
    """Time the parts, then whole looks, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument(GIVEN_BACK, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    photos = {str(faces): mosaic(arguments.data, *shape) for faces, shape in MOSAICS.items()}
    if arguments.memory_given_back:
        looker = TorchPredictor(load_model(arguments.model).to(memory_format=torch.channels_last).eval())
        print(
            " | ".join(f"{milliseconds(lambda p=photo: looker.predict([p], DETECT)):.1f}" for photo in photos.values())
        )
        return
    lookers = {
        f"ready, {name}": load_torch_predictor(arguments.model, name) for name in ("float32", fastest_precision())
    }
    whole = {
        "as trained": TorchPredictor(load_model(arguments.model).to(memory_format=torch.channels_last).eval()),
        **lookers,
    }
    parts = {name: time_parts(looker, photos["32"]) for name, looker in whole.items()}
    print(f"| part of a {WIDTH}x{HEIGHT} look, 32 faces; ms | {' | '.join(parts)} |\n|---|{'---|' * len(parts)}")
    for part in next(iter(parts.values())):
        print(f"| {part} | {' | '.join(f'{of[part]:.2f}' for of in parts.values())} |")
    photos["none, 32x32 pixels"] = np.zeros((32, 32, 3), np.uint8)
    print(f"\n| a whole look, ms, by faces | {' | '.join(photos)} |\n|---|{'---|' * len(photos)}")
    # Asked of a process in which no memory is kept: nothing is ready there either.
    command = [sys.executable, __file__, "--data", arguments.data, "--model", arguments.model, GIVEN_BACK]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout.strip()
    print(f"| as trained, memory given back | {told} | – |")
    for name, looker in whole.items():
        times = [milliseconds(lambda p=photo, by=looker: by.predict([p], DETECT)) for photo in photos.values()]
        print(f"| {name} | {' | '.join(f'{each:.1f}' for each in times)} |")


@torch.inference_mode()
def time_parts(looker: TorchPredictor, photo: np.ndarray) -> dict[str, float]:
    """Milliseconds of each part of a look."""
    network: Any = looker.network
    detector, head = network.detector, network.embedding
    times: dict[str, float] = {}

    def step(name: str, run: Callable[[], Any]) -> Any:
        times[name] = milliseconds(run)
        return run()

    image = torch.from_numpy(photo[None]).permute(0, 3, 1, 2)
    pixels = step("pixels, normalized", lambda: detector.normalized(image))
    first, *others = stages_of(detector.trunk)
    early = step("trunk: stem and first block", lambda: first(pixels))
    maps = detector.trunk(pixels)
    step("trunk: the other twelve blocks", lambda: torch.nn.Sequential(*others)(early))
    levels = step("pyramid", lambda: detector.pyramid(maps[detector.finer :]))
    features = step("context", lambda: [each(x) for each, x in zip(detector.context, levels, strict=True)])
    outputs = step("detection heads", lambda: detector.heads(features))
    anchors = detector.anchors(HEIGHT, WIDTH)
    kept = step("filter, decode, suppress", lambda: decode_image_outputs(outputs, 0, anchors, DETECT.score, DETECT.nms))
    points = torch.from_numpy(kept[2])
    step("sampling grid", lambda: head.grid(points, 2 * head.sampled, head.extent))
    shared = network(image).maps
    samples, _ = step("sampling, its grid included", lambda: head.sample(shared, [points]))
    fused = step("projection of the samples", lambda: head.fuse(samples))
    last = step("tail", lambda: head.tail(fused))
    step("embedding", lambda: head.out(head.gather(head.widen(last))))
    return times


def stages_of(trunk: Any) -> list[torch.nn.Module]:
    """What a trunk makes its maps with, one after the other."""
    return [torch.nn.Sequential(*layers) for layers in trunk.stages()] if isinstance(trunk, MobileNet) else trunk.stages


def milliseconds(run: Callable[[], object]) -> float:
    """Median duration of a call."""
    times = []
    for _ in range(ROUNDS + 5):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[5:])


if __name__ == "__main__":
    main()
