"""Time training steps on a device, with a resident batch and through the loader.

A part of gpu.py.

The settings of params.yaml from random weights: both tasks where the scenes have identities, else detection. A step
goes from the upload of a batch to its losses, with the learning rate 0. The resident batch is one batch in pinned
memory, repeated. Shares, memory, operations and waits are those of its steps. The loader is that of the stage train.
"""

import gc
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from itertools import count, islice, product, repeat
from pathlib import Path
from typing import Any, NamedTuple

import torch
from training_throughput import FULL

from onelook.data.loader import choose_loader_options
from onelook.data.manifest import Manifest, read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.device import half_precision
from onelook.distributed import all_reduce_mean
from onelook.gpu_check.roofline import Peaks, count_work
from onelook.model.joint_network import JointNetwork
from onelook.reproducibility import seed_everything
from onelook.settings import Settings, load_settings
from onelook.training.loop import BatchPair, Trainer

PARAMS = Path("params.yaml")
COLUMNS = (
    "network",
    "crop",
    "precision",
    "batch",
    "resident, images/s",
    "loader, images/s",
    "waiting for the loader",
    "share of the product peak",
    "share of the copy peak",
    "share of the roofline",
    "peak memory, GB",
    "operations a step",
    "waits a step",
)


class Network(NamedTuple):
    """A row's network: its name, what differs from params.yaml, its crop and its batch sizes."""

    name: str
    model: dict[str, Any]
    crop: int
    batch_sizes: tuple[int, ...]


LIGHT, RESNET = "light: MobileNet-0.25, three levels", "full: ResNet-50, P2 to P6"
NETWORKS = (
    Network(LIGHT, {}, 320, (12, 48, 192)),
    Network(LIGHT, {}, 640, (12, 48, 192)),
    Network(RESNET, FULL, 640, (4, 16, 64)),
)
SMALL_NETWORKS = (Network(LIGHT, {}, 64, (2,)), Network(RESNET, FULL, 64, (2,)))


class Steps(NamedTuple):
    """Numbers of steps that warm up and that are timed."""

    warm_up: int
    timed: int


# The loader prepares three batches ahead; the fourth is the first that a step may wait for.
RESIDENT, LOADED = Steps(3, 10), Steps(4, 6)
SMALL = Steps(1, 1)


class Pace(NamedTuple):
    """Seconds of a step, and those of them spent waiting for its batch."""

    step: float
    waiting: float


def seed() -> None:
    """Seed and require deterministic algorithms, as the stages do."""
    seed_everything(load_settings(PARAMS).base)


def measure(scenes: Path, device: torch.device, peaks: Peaks, small: bool) -> Iterator[list[str]]:
    """Yield a row for each network, precision and batch size; larger batches than one that is too large are left out.

    Raises:
        DataError: the scenes cannot be read.
    """
    manifest = read_manifest(scenes)
    networks = SMALL_NETWORKS if small else NETWORKS
    for network, precision in product(networks, ("float32", half_precision(device))):
        for batch_size in network.batch_sizes:
            settings = make_settings(network, precision, batch_size, detection_only=manifest.detection_only)
            cells = _measure_or_explain(manifest, settings, device, peaks, small)
            yield [network.name, str(network.crop), precision, str(batch_size), *cells]
            if len(cells) == 1:
                break


def make_settings(network: Network, precision: str, batch_size: int, *, detection_only: bool) -> Settings:
    """Return params.yaml with the network, its crop, the precision and the batch size."""
    tree = load_settings(PARAMS).model_dump()
    tree["model"] |= {"init": "random", **network.model}
    tree["train"] |= {"batch_size": batch_size, "accumulation_steps": 1, "precision": precision}
    tree["train"]["faces"]["batch_size"] = 0
    tree["train"]["augment"]["crop_size"] = network.crop
    if detection_only:
        tree["train"]["tasks"] = "detection"
    return Settings.model_validate(tree)


def _measure_or_explain(
    manifest: Manifest, settings: Settings, device: torch.device, peaks: Peaks, small: bool
) -> list[str]:
    """Return the cells of a row, or a single one that explains why there are none."""
    try:
        dataset = SceneDataset(manifest, settings.train.augment, settings.base.seed, choose_loader_options(device))
        if len(dataset.scenes) < settings.train.batch_size:
            return [f"only {len(dataset.scenes)} training scenes"]
        return _measure_row(dataset, settings, device, peaks, small)
    except RuntimeError as error:  # torch.OutOfMemoryError is one, and MPS has no class of its own
        if "out of memory" not in str(error):
            raise
        return ["out of memory"]
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _measure_row(
    dataset: SceneDataset, settings: Settings, device: torch.device, peaks: Peaks, small: bool
) -> list[str]:
    seed()
    trainer = Trainer(JointNetwork(settings.model), dataset, settings, device=device)
    trainer.network.train()
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    with closing(trainer.batches(count())) as batches:
        pair = next(batches)
    resident = time_steps(trainer, repeat(pair), SMALL if small else RESIDENT)
    memory = f"{torch.cuda.max_memory_allocated(device) / 1e9:.2f}" if is_cuda else "–"
    work = count_work(lambda: train_step(trainer, pair), peaks)
    waits = str(count_waits(trainer, pair)) if is_cuda else "–"
    with closing(trainer.batches(count())) as batches:
        loaded = time_steps(trainer, batches, SMALL if small else LOADED)
    images = settings.train.batch_size
    return [
        f"{images / resident.step:.1f}",
        f"{images / loaded.step:.1f}",
        f"{loaded.waiting / loaded.step:.1%}",
        f"{work.flops / peaks.flops / resident.step:.1%}",
        f"{work.bytes / peaks.bytes / resident.step:.1%}",
        f"{work.seconds / resident.step:.1%}",
        memory,
        f"{work.operations:,}",
        waits,
    ]


def train_step(trainer: Trainer, pair: BatchPair) -> None:
    """Train a step as `Trainer.train_epoch`, which reads the losses of every step; the learning rate is 0."""
    all_reduce_mean(trainer.train_step(*pair, 0, 0))


def time_steps(trainer: Trainer, batches: Iterator[BatchPair], steps: Steps) -> Pace:
    """Time steps; each ends when the device has finished, as its losses are read."""
    for pair in islice(batches, steps.warm_up):
        train_step(trainer, pair)
    start, waited = time.perf_counter(), 0.0
    for _ in range(steps.timed):
        asked = time.perf_counter()
        pair = next(batches)
        waited += time.perf_counter() - asked
        train_step(trainer, pair)
    return Pace((time.perf_counter() - start) / steps.timed, waited / steps.timed)


def count_waits(trainer: Trainer, pair: BatchPair) -> int:
    """Count the times that a step waits for CUDA."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            train_step(trainer, pair)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing CUDA operation" in str(each.message) for each in caught)
