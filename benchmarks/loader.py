"""Time the loader with and without photometric distortion, per CPU-second.

    python benchmarks/loader.py --data ../shared/data [--crop 640] [--rounds 5]

Photos of WIDER FACE are read and augmented with the settings of the preset `widerface`: random crops of 0.3 to 1.0 of
the shorter side at 640 pixels, distortion 0.5. `--photos FOLDER` measures other photos, `--scenes FOLDER` the training
scenes that `prepare` wrote.

The peer is a plain loop: decode, swap channels, crop, flip and distort image after image in one thread. The benchmark
ends unless its first batch equals that of onelook. All variants take turns. A CPU-second counts all threads of the
process. Medians are over the rounds. Prints a Markdown table.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from onelook.data.loader import LoaderOptions, prefetch
from onelook.data.manifest import Manifest, Scene, read_manifest
from onelook.data.photometric import photometric_distortion
from onelook.data.scene_dataset import SceneDataset, stack_images
from onelook.process import configure_process
from onelook.settings import AugmentSettings

BATCH = 32
SEED = 0
SUFFIXES = (".jpg", ".jpeg", ".png")
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

Epoch = Callable[[int], Iterator[Tensor]]
"""Images of an epoch, batch by batch, as a function of its number."""


def main() -> None:
    """Time every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, help="the research data: folder of widerface/")
    source.add_argument("--photos", type=Path, help="folder of photos, at any depth")
    source.add_argument("--scenes", type=Path, default=Path("build/scenes"), help="folder that prepare wrote")
    parser.add_argument("--crop", type=int, default=640, help="side of the training crops, in pixels")
    parser.add_argument("--photometric", type=float, default=0.5, help="strength of the distortion")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each variant, after one to warm up")
    arguments = parser.parse_args()
    configure_process()  # as in the stage train
    cv2.setNumThreads(1)  # the loader has its own threads
    photos = arguments.photos if arguments.data is None else arguments.data / "widerface/WIDER_val/images"
    manifest = read_manifest(arguments.scenes) if photos is None else photo_manifest(photos)
    settings = AugmentSettings(crop_size=arguments.crop, short_edge=(0.3, 1.0), photometric=arguments.photometric)
    variants = make_variants(manifest, settings)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("loading", total=len(variants) * (1 + arguments.rounds))
        for epoch in range(1 + arguments.rounds):
            for name, batches in variants.items():
                rates[name].append(measure(batches(epoch)))
                progress.advance(task)
    print_table({name: each[1:] for name, each in rates.items()})


def photo_manifest(folder: Path) -> Manifest:
    """Return the photos of a folder as training scenes without labels."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        sys.exit(f"{folder}: no photo; name a folder of {', '.join(SUFFIXES)}")
    scenes = [Scene(path.relative_to(folder).as_posix(), 0, 0, "train", "scene", (), "", "") for path in paths]
    return Manifest(folder, tuple(scenes))


def make_variants(manifest: Manifest, settings: AugmentSettings) -> dict[str, Epoch]:
    """Return each variant by its name in the table, the plain path first.

    Their images are equal.
    """
    variants: dict[str, Epoch] = {"plain": lambda epoch: plain_batches(manifest, settings, epoch)}
    for threads in dict.fromkeys((1, THREADS)):
        for told, deferred in (("loader", False), ("device", True)):
            dataset = SceneDataset(manifest, settings, SEED, LoaderOptions(threads, deferred))
            name = f"onelook, {threads} thread{'s' if threads > 1 else ''}, the {told} distorts"
            variants[name] = lambda epoch, dataset=dataset: prefetched_images(dataset, epoch)
    plain, distorted = (next(epoch(0)) for epoch in list(variants.values())[:2])
    if not plain.equal(distorted):
        sys.exit("the loaders do different work: the images of the first batch differ")
    return variants


def prefetched_images(dataset: SceneDataset, epoch: int) -> Iterator[Tensor]:
    """Yield the images of an epoch as the training loop loads them."""
    with closing(prefetch(dataset.batches(epoch, BATCH))) as batches:
        for batch in batches:
            yield batch.images


def plain_batches(manifest: Manifest, settings: AugmentSettings, epoch: int) -> Iterator[Tensor]:
    """Yield the images of an epoch of `SceneDataset` from straightforward code."""
    scenes = manifest.select("train")
    order = np.random.default_rng([SEED, epoch]).permutation(len(scenes))
    for start in range(0, max(1, len(scenes) // BATCH) * BATCH, BATCH):
        indices = [int(i) for i in order[start : start + BATCH]]
        yield stack_images(
            [plain_image(manifest.path(scenes[i]), settings, np.random.default_rng([SEED, epoch, i])) for i in indices]
        )


def plain_image(path: Path, settings: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """Read and augment an image, with the random numbers of `augment`."""
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    side = settings.crop_size
    assert settings.short_edge is not None
    zoom = side / (rng.uniform(*settings.short_edge) * min(image.shape[:2]))
    excess = np.array(image.shape[1::-1]) * zoom - side
    corner = rng.uniform(excess.clip(max=0), excess.clip(min=0))
    transform = np.array([[zoom, 0, -corner[0]], [0, zoom, -corner[1]]])
    transform[:, 2] += (zoom - 1) / 2
    image = cv2.warpAffine(image, transform, (side, side), flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114))
    if rng.random() < 0.5:
        image = cv2.flip(image, 1)
    return photometric_distortion(image, settings.photometric, rng)


def measure(batches: Iterator[Tensor]) -> tuple[float, float]:
    """Return the images of a CPU-second and of a second."""
    seconds, cpu_seconds, images = time.perf_counter(), time.process_time(), 0
    for batch in batches:
        images += len(batch)
    return images / (time.process_time() - cpu_seconds), images / (time.perf_counter() - seconds)


def print_table(rates: dict[str, list[tuple[float, float]]]) -> None:
    """Print the medians over the rounds, and the ratios to the plain path in the same round."""
    plain = [per_cpu_second for per_cpu_second, _ in next(iter(rates.values()))]
    print("| loader | images per CPU-second | ratio | images/s |")
    print("|---" * 4 + "|")
    for name, rounds in rates.items():
        per_cpu_second, per_second = (statistics.median(side) for side in zip(*rounds, strict=True))
        ratio = statistics.median(each[0] / peer for each, peer in zip(rounds, plain, strict=True))
        print(f"| {name} | {per_cpu_second:.0f} | {ratio:.2f} | {per_second:.0f} |")


if __name__ == "__main__":
    main()
