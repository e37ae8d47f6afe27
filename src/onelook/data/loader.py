"""Loading of batches in threads: order and results are those of one thread."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

import numpy as np
import torch

# More threads than this mostly wait for the interpreter lock, which the training loop needs, too.
_MAX_THREADS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class LoaderOptions:
    """Division of the augmentation among threads and device.

    Attributes:
        threads: samples that are read and augmented at the same time.
        defer_photometric: True leaves the photometric distortion of a batch to `distort_images`.
    """

    threads: int = 1
    defer_photometric: bool = False


DEFAULT_LOADER = LoaderOptions()
"""One thread that does all of the augmentation."""


def choose_loader_options(device: torch.device, processes: int = 1) -> LoaderOptions:
    """Return the loader options for training on a device.

    - On the CPU, one thread loads: more would take cores from the network, and so would a distortion in torch.
    - With another device, a thread per core loads, and the device distorts.

    Args:
        device: device of the network.
        processes: training processes of this machine, which share its cores.
    """
    if device.type == "cpu":
        return DEFAULT_LOADER
    return LoaderOptions(threads=max(1, min(_core_count() // processes, _MAX_THREADS)), defer_photometric=True)


def prefetch(batches: Iterator[Item], depth: int = 3) -> Generator[Item]:
    """Yield batches in order, with up to `depth` prepared ahead in a thread.

    Closing the generator waits for the batch in progress and drops the others.
    """
    with ThreadPoolExecutor(1, "prefetch") as pool:
        try:
            pending = deque(pool.submit(next, batches, None) for _ in range(depth))
            while (batch := pending.popleft().result()) is not None:
                pending.append(pool.submit(next, batches, None))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def load_batches(
    load: Callable[[int], Result], batches: Sequence[np.ndarray], threads: int
) -> Generator[tuple[Result, ...]]:
    """Load the items of batches in a pool of threads; yield the results of each batch in order.

    Close the generator, unless it is exhausted, to stop the threads. `map_ahead` has the details.

    Args:
        load: returns the item of an index.
        batches: indices (n,) of each batch.
        threads: items that are loaded at the same time.
    """
    indices = map(int, chain.from_iterable(batches))
    with closing(map_ahead(load, indices, threads)) as loaded:
        for batch in batches:
            yield tuple(islice(loaded, len(batch)))


def map_ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result]:
    """Apply `work` to each item in a pool of threads; yield results in order.

    - At most two items per thread are processed ahead of the result that is yielded.
    - One thread is the caller's: nothing is processed ahead.
    - Closing the generator waits for the items in progress and drops the others.

    Raises:
        Exception: raised by `work`, in the order of the items.
    """
    if threads == 1:
        yield from map(work, items)
        return
    remaining = iter(items)
    with ThreadPoolExecutor(threads, "loader") as pool:
        try:
            pending: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(remaining, 2 * threads))
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(work, item) for item in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def _core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
