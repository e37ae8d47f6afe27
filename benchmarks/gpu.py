"""Time training, prediction and gallery search on a device, beside the measured peaks of the device.

    python benchmarks/gpu.py [--device auto] [--scenes build/scenes] [--quick]

Run it in the project folder on an otherwise idle machine. Parts whose libraries are not installed are left out, each
with a row that names the library. --quick, and the CPU, take small sizes: a check that everything runs, and no figures
to quote. Prints Markdown tables.

- Peaks: a product of two matrices in the 16-bit precision of the device, and a copy within its memory.
- Training (gpu_training.py): shares are of the 16-bit peak and of the copy's bandwidth. The roofline is the time that
  the peaks allow, summed over the operations of a step.
- Prediction (gpu_prediction.py): VGA photos as arrays to boxes and embeddings, with the released weights.
- Search (gpu_search.py): the index of a gallery on the CPU against a flat index on the card.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import gpu_prediction
import gpu_search
import gpu_training
import torch
from rich.console import Console
from rich.progress import Progress

from onelook.data.manifest import MANIFEST
from onelook.device import DEVICE_NAMES, describe_device, half_precision, resolve_device
from onelook.errors import OnelookError
from onelook.gpu_check.machine import driver_version
from onelook.gpu_check.roofline import COPY_BYTES, PRODUCT_SIZE, Peaks, measure_peaks

SMALL_PRODUCT_SIZE, SMALL_COPY_BYTES = 512, 2**24


def main() -> None:
    """Measure the parts one after the other, and print each row when it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help=f"{DEVICE_NAMES}; default: auto")
    parser.add_argument("--scenes", type=Path, default=Path("build/scenes"), help="folder that prepare wrote")
    parser.add_argument("--quick", action="store_true", help="small sizes, as always on the CPU")
    arguments = parser.parse_args()
    if not (arguments.scenes / MANIFEST).is_file():
        sys.exit(f"{arguments.scenes}: no training scenes; run `make repro`, or name a folder of scenes with --scenes")
    try:
        print_tables(resolve_device(arguments.device), arguments.scenes, arguments.quick)
    except OnelookError as error:
        sys.exit(str(error))


def print_tables(device: torch.device, scenes: Path, quick: bool) -> None:
    """Print the device, its peaks and the tables of all parts."""
    small = quick or device.type == "cpu"
    driver = "" if device.type != "cuda" else f", driver {driver_version()}, CUDA {torch.version.cuda}"
    print(f"{describe_device(device)}{driver}, torch {torch.__version__}{', small sizes' if small else ''}\n")
    gpu_training.seed()  # first, as cuBLAS reads its part when CUDA starts
    peaks = print_peaks(device, small)
    parts = (
        ("training", gpu_training.COLUMNS, gpu_training.measure(scenes, device, peaks, small)),
        ("prediction", gpu_prediction.COLUMNS, gpu_prediction.measure(scenes, device, small)),
        ("search", gpu_search.COLUMNS, gpu_search.measure(device, small)),
    )
    for name, columns, rows in parts:
        print()
        print_table(name, columns, rows)


def print_peaks(device: torch.device, small: bool) -> Peaks:
    """Measure the peaks of the device and print their table."""
    precision = half_precision(device)
    size, copy_bytes = (SMALL_PRODUCT_SIZE, SMALL_COPY_BYTES) if small else (PRODUCT_SIZE, COPY_BYTES)
    peaks = measure_peaks(device, getattr(torch, precision), size, copy_bytes)
    rows = [
        [f"product of {size} x {size} matrices, {precision}", f"{peaks.flops / 1e12:.3g} TFLOP/s"],
        [f"copy of {copy_bytes / 2**20:.0f} MiB, read and written", f"{peaks.bytes / 1e9:.3g} GB/s"],
    ]
    print_table("peaks", ["peak", "measured"], rows)
    return peaks


def print_table(name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows as they come; cells that a row lacks are dashes."""
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    # A redirected stdout must not go through the console of the bar, which is stderr.
    bar = Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
    with bar:
        bar.add_task(name, total=None)
        for row in rows:
            cells = [*row, *["–"] * (len(columns) - len(row))]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
