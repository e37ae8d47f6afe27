"""Profile the parts of a prediction, before and after `optimize_for_inference`.

    python benchmarks/profile_pass.py --data ../shared/data [--model build/model]

A VGA image of 32 faces, two threads; medians of 40 calls of each part on the output of the part before it. *As trained*
is the network without optimization. The last table is a whole prediction on images of 1, 8 and 32 faces, and on one of
32 x 32 pixels, which is all overhead. Its first row is a process that does not call `onelook.process`. Prints Markdown
tables.
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
from one_look import DETECT, HEIGHT, MOSAICS, THREADS, WIDTH, compose_grid

from onelook.inference.decoding import postprocess_detections
from onelook.inference.fast.network import fastest_precision
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import MobileNetV1
from onelook.model.serialization import load_model
from onelook.process import configure_process

ROUNDS = 40
DEFAULT_MALLOC = "--default-malloc"


def main() -> None:
    """Time the parts, then whole predictions, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument(DEFAULT_MALLOC, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    photos = {str(faces): compose_grid(arguments.data, *shape) for faces, shape in MOSAICS.items()}
    if arguments.default_malloc:
        predictor = TorchPredictor(load_model(arguments.model).to(memory_format=torch.channels_last).eval())
        print(
            " | ".join(
                f"{milliseconds(lambda p=photo: predictor.predict([p], DETECT)):.1f}" for photo in photos.values()
            )
        )
        return
    configure_process()
    predictors = {
        f"optimized, {name}": load_torch_predictor(arguments.model, name) for name in ("float32", fastest_precision())
    }
    whole = {
        "as trained": TorchPredictor(load_model(arguments.model).to(memory_format=torch.channels_last).eval()),
        **predictors,
    }
    parts = {name: time_parts(predictor, photos["32"]) for name, predictor in whole.items()}
    print(f"| part of a {WIDTH}x{HEIGHT} prediction, 32 faces; ms | {' | '.join(parts)} |\n|---|{'---|' * len(parts)}")
    for part in next(iter(parts.values())):
        print(f"| {part} | {' | '.join(f'{of[part]:.2f}' for of in parts.values())} |")
    photos["none, 32x32 pixels"] = np.zeros((32, 32, 3), np.uint8)
    print(f"\n| a whole prediction, ms, by faces | {' | '.join(photos)} |\n|---|{'---|' * len(photos)}")
    # Of a process with the default allocator, on the network as trained.
    command = [sys.executable, __file__, "--data", arguments.data, "--model", arguments.model, DEFAULT_MALLOC]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout.strip()
    print(f"| as trained, default malloc | {printed} | – |")
    for name, predictor in whole.items():
        times = [milliseconds(lambda p=photo, by=predictor: by.predict([p], DETECT)) for photo in photos.values()]
        print(f"| {name} | {' | '.join(f'{each:.1f}' for each in times)} |")


@torch.inference_mode()
def time_parts(predictor: TorchPredictor, photo: np.ndarray) -> dict[str, float]:
    """Return the milliseconds of each part of a prediction."""
    network: Any = predictor.network
    detector, head = network.detector, network.embedding
    times: dict[str, float] = {}

    def step(name: str, run: Callable[[], Any]) -> Any:
        times[name] = milliseconds(run)
        return run()

    image = torch.from_numpy(photo[None]).permute(0, 3, 1, 2)
    pixels = step("pixels, normalized", lambda: detector.normalize(image))
    first, *others = stages_of(detector.backbone)
    early = step("backbone: stem and first block", lambda: first(pixels))
    maps = detector.backbone(pixels)
    step("backbone: the other twelve blocks", lambda: torch.nn.Sequential(*others)(early))
    levels = step("FPN", lambda: detector.fpn(maps[detector.fpn_start :]))
    features = step("context", lambda: [each(x) for each, x in zip(detector.context, levels, strict=True)])
    outputs = step("detection heads", lambda: detector.heads(features))
    anchors = detector.make_anchors(HEIGHT, WIDTH)
    kept = step("filter, decode, NMS", lambda: postprocess_detections(outputs, 0, anchors, DETECT.score, DETECT.nms))
    points = torch.from_numpy(kept[2])
    step("sampling grid", lambda: head.sampler.grid(points, 2 * head.sampler.samples, head.sampler.extent))
    feature_maps = network(image).feature_maps
    samples, _ = step("sampling, its grid included", lambda: head.sample(feature_maps, [points]))
    fused = step("projection of the samples", lambda: head.fusion(samples))
    last = step("tail", lambda: head.tail(fused))
    step("embedding", lambda: head.projection(head.gdc(head.expand(last))))
    return times


def stages_of(backbone: Any) -> list[torch.nn.Module]:
    """Return the stages of a backbone, each of which outputs one feature map."""
    if isinstance(backbone, MobileNetV1):
        return [torch.nn.Sequential(*layers) for layers in backbone.stages()]
    return backbone.stages


def milliseconds(run: Callable[[], object]) -> float:
    """Return the median duration of a call."""
    times = []
    for _ in range(ROUNDS + 5):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[5:])


if __name__ == "__main__":
    main()
