"""Check of the speed of training, as a share of what the roofline of the device allows."""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch

from onelook.data.loader import choose_loader_options
from onelook.device import half_precision
from onelook.gpu_check.roofline import Peaks, count_work, measure_peaks, synchronize
from onelook.gpu_check.training_check import RESNET50, make_trainer
from onelook.training.loop import BatchPair, Trainer

MIN_SHARES = {"light": 0.20, "resnet50": 0.25}
"""Smallest share of the roofline that is not slow, by network."""
_MODELS: dict[str, dict[str, Any]] = {"light": {}, "resnet50": RESNET50}
_BATCH_SIZES = (64, 32, 16, 8, 4)
_WARMUP_STEPS = 3
# A loader that is waited for longer than this share of the time is the reason of a slow training.
_MAX_WAITING = 0.3


def check_peaks(device: torch.device, *, quick: bool = False) -> tuple[Peaks, dict[str, Any]]:
    """Measure the peaks of a device in its 16-bit precision; quick: with small matrices."""
    dtype = getattr(torch, half_precision(device))
    peaks = measure_peaks(device, dtype, 512, 2**24) if quick else measure_peaks(device, dtype)
    return peaks, {"tflops": peaks.flops / 1e12, "gb_per_second": peaks.bytes / 1e9}


def check_throughput(
    name: str, scenes: Path, device: torch.device, peaks: Peaks, seconds: float, crop_size: int = 640
) -> dict[str, Any]:
    """Train detection for some seconds through the loader, in the 16-bit precision of the device.

    Args:
        name: "light" or "resnet50".
        scenes: folder of the scenes.
        device: of the training.
        peaks: of the device.
        seconds: of the measurement, after a few steps.
        crop_size: side of the training crops, in pixels.

    Returns:
        Images per second, the share of the roofline and of the time waiting for the loader; the outcome "slow" and the
        probable reason where the share is small.
    """
    trainer, batch_size = _largest_batch(name, scenes, device, crop_size)
    with closing(trainer.batches(itertools.count())) as batches:
        for _ in range(_WARMUP_STEPS):
            trainer.train_step(*next(batches), 0, 0)
        pair = next(batches)
        work = count_work(lambda: trainer.train_step(*pair, 0, 0), peaks)
        steps, elapsed, waited = _train(trainer, batches, device, seconds)
    share = work.seconds * steps / elapsed
    measured = {
        "batch_size": batch_size,
        "images_per_second": steps * batch_size / elapsed,
        "roofline_share": share,
        "waiting_share": waited / elapsed,
        "operations": work.operations,
    }
    if share >= MIN_SHARES[name]:
        return measured
    reason = (
        "the loader: use more processor cores"
        if waited > _MAX_WAITING * elapsed
        else f"launches: {work.operations} operations a step; a larger train.batch_size, if memory allows"
    )
    return measured | {"outcome": "slow", "required_share": MIN_SHARES[name], "reason": reason}


def _largest_batch(name: str, scenes: Path, device: torch.device, crop_size: int) -> tuple[Trainer, int]:
    """Return a trainer whose first step fits into the memory, and its batch size."""
    for batch_size in _BATCH_SIZES if device.type != "cpu" else _BATCH_SIZES[-1:]:
        trainer = make_trainer(
            scenes,
            device,
            model=_MODELS[name],
            loader=choose_loader_options(device),
            tasks="detection",
            batch_size=batch_size,
            precision=half_precision(device),
            crop_size=crop_size,
        )
        trainer.network.train()
        with suppress(torch.OutOfMemoryError), closing(trainer.batches(itertools.count())) as batches:
            trainer.train_step(*next(batches), 0, 0)
            synchronize(device)
            return trainer, batch_size
        del trainer
        torch.cuda.empty_cache()
    raise torch.OutOfMemoryError(f"{name}: a batch of {_BATCH_SIZES[-1]} does not fit into the memory of the card")


def _train(
    trainer: Trainer, batches: Iterator[BatchPair], device: torch.device, seconds: float
) -> tuple[int, float, float]:
    """Train for some seconds; return the steps, the seconds, and those of them spent waiting for the loader."""
    synchronize(device)
    start, waited, steps = time.perf_counter(), 0.0, 0
    while time.perf_counter() - start < seconds or steps == 0:
        asked = time.perf_counter()
        pair = next(batches)
        waited += time.perf_counter() - asked
        losses = trainer.train_step(*pair, 0, 0)
        losses["total"].item()  # as the training loop, which reads the losses of every step
        steps += 1
    return steps, time.perf_counter() - start, waited
