"""Time the search of a gallery's FAISS index on the CPU, and of a flat index on the card.

A part of gpu.py.

`MIN_GPU_SIZE` of `onelook.gallery.faiss_index` is the number of people from which the card is faster. The index on the
CPU is the one that a gallery of that size has there: flat, or quantized with re-ranking, on all cores. Times are means.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch

from onelook.errors import OnelookError
from onelook.gpu_check.roofline import time_on_device

COLUMNS = (
    "people",
    "index on the CPU",
    "built, s",
    "search, ms",
    "copied to the card, s",
    "search on the card, ms",
    "CPU / card",
)
SIZE, FAMILY = 128, 50  # of a template; templates in a family
SIZES, SMALL_SIZES = (10_000, 100_000, 1_000_000), (1_000, 10_000)
PROBES, NEIGHBORS = 64, 10

Built = TypeVar("Built")


def measure(device: torch.device, small: bool) -> Iterator[list[str]]:
    """Yield a row for each number of people; a single one with the reason where FAISS is not installed."""
    try:
        from onelook.gallery.faiss_library import count_gpus, faiss
    except OnelookError as error:
        yield [f"left out: {error}"]
        return
    faiss.omp_set_num_threads(os.cpu_count() or 1)  # a seeded training has limited the threads of OpenMP
    has_card = device.type == "cuda" and count_gpus() > 0
    for people in SMALL_SIZES if small else SIZES:
        yield measure_row(people, has_card)


def measure_row(people: int, has_card: bool) -> list[str]:
    """Build the indexes over random templates, search them, and return the cells of a row."""
    from onelook.gallery.faiss_index import build_flat_index, select_index
    from onelook.gallery.gpu_index import GpuIndex
    from onelook.gallery.quantized_index import build_quantized_index

    rng = np.random.default_rng(0)
    rows = random_templates(people, rng)
    probes = rows[rng.integers(people, size=PROBES)]
    kind = select_index(people, num_gpus=0)
    on_cpu, built = timed(lambda: build_flat_index(rows) if kind == "flat" else build_quantized_index(rows))
    cpu_seconds = time_search(on_cpu, probes)
    cells = [f"{people:,} x {SIZE}", kind, f"{built:.2f}", f"{1000 * cpu_seconds:.3f}"]
    if not has_card:
        return cells
    GpuIndex(build_flat_index(rows[:1]))  # the first one starts CUDA
    on_card, copied = timed(lambda: GpuIndex(build_flat_index(rows)))
    card_seconds = time_search(on_card, probes)
    return [*cells, f"{copied:.2f}", f"{1000 * card_seconds:.3f}", f"{cpu_seconds / card_seconds:.1f}"]


def random_templates(people: int, rng: np.random.Generator) -> np.ndarray:
    """Return random templates (people, SIZE) float32 in families, relatives at a cosine of about 0.5."""
    families = rng.standard_normal((people // FAMILY + 1, SIZE), np.float32)
    rows = families[rng.integers(len(families), size=people)]
    rows += rng.standard_normal((people, SIZE), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def time_search(index: Any, probes: np.ndarray) -> float:
    """Return the seconds of a search of all probes at once, which ends on the CPU."""
    return time_on_device(lambda: index.search(probes, NEIGHBORS), torch.device("cpu"))


def timed(build: Callable[[], Built]) -> tuple[Built, float]:
    """Return what `build` returns and its seconds."""
    start = time.perf_counter()
    built = build()
    return built, time.perf_counter() - start
