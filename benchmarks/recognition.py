"""Compare onelook with two-stage recognition in one run: accuracy, small and large faces, galleries, groups, detection.

    python benchmarks/recognition.py --data ../shared/data [--model FOLDER] [--utkface FOLDER] [--out build/recognition]
    python benchmarks/recognition.py --data ../shared/data --only cfp sizes --limit 200

Peers: MobileFaceNet on the faces and points that onelook detects ("two looks"); and on SCRFD-500M's detections
MobileFaceNet, EdgeFace-XXS and, with the extra `onelook[mesh]`, EdgeFace-XS. All systems get the same photos, each
once, without mirrored crops. The face of a photo is the detection nearest its center. Intervals are of 95 %, by
bootstrap over the people. Prints Markdown tables; --out also gets them as recognition.json, and the picture sizes.png.

Rows: cfp, lfw, sizes, galleries, groups, wider, people, large. A row whose data are missing is skipped with a line.
--limit takes at most that many pairs, people or photos a row, evenly over the set: the figures are then partial.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from recognition_detection import measure_large_photos, measure_wider
from recognition_galleries import measure_galleries, measure_many_people
from recognition_groups import measure_groups
from recognition_pairs import measure_cfp, measure_lfw, measure_sizes
from recognition_report import Table, plot_sizes
from recognition_systems import EDGEFACE_XS_SYSTEM, Systems

from onelook.errors import OnelookError
from onelook.evaluation.plots import save_figure
from onelook.files import write_json
from onelook.model.model_folder import RELEASED
from onelook.process import configure_process

ROWS = ("cfp", "lfw", "sizes", "galleries", "groups", "wider", "people", "large")


def main() -> None:
    """Measure the requested rows and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the research data: folder of lfw/, weights/, ...")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--calibration", type=Path, help="calibration.json of the model; by default in its folder")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=ROWS, metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--limit", type=int, help="most pairs, people or photos of a row")
    parser.add_argument("--utkface", type=Path, help="folder of UTKFace; by default the adults in faces/utk")
    parser.add_argument("--out", type=Path, help="folder for recognition.json and sizes.png")
    arguments = parser.parse_args()
    if arguments.limit is not None and arguments.limit < 20:
        parser.error("--limit: at least 20, two pairs a fold")
    configure_process()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        systems = Systems(arguments.data, arguments.model, arguments.calibration)
        measure_rows(systems, arguments)
    except OnelookError as error:
        sys.exit(str(error))


def measure_rows(systems: Systems, arguments: argparse.Namespace) -> None:
    """Measure the requested rows; print and write each table as soon as it is complete."""
    data, limit = arguments.data, arguments.limit
    measures: dict[str, Callable[[], list[Table]]] = {
        "cfp": partial(measure_cfp, systems, data, limit),
        "lfw": partial(measure_lfw, systems, data, limit),
        "sizes": partial(measure_sizes, systems, data, limit),
        "galleries": partial(measure_galleries, systems, data, limit),
        "groups": partial(measure_groups, systems, data, arguments.utkface, limit),
        "wider": partial(measure_wider, systems, data, limit),
        "people": partial(measure_many_people, systems, data, limit),
        "large": partial(measure_large_photos, systems, data, limit),
    }
    print(f"Model {systems.predictor.fingerprint[:12]}, {torch.get_num_threads()} threads.")
    if limit is not None:
        print(f"**Partial: at most {limit} pairs, people or photos a row (--limit).**")
    if EDGEFACE_XS_SYSTEM not in systems.names:
        print(f"skipped: {EDGEFACE_XS_SYSTEM}: needs ai-edge-litert, `pip install 'onelook[mesh]'`")
    print(flush=True)
    tables: list[Table] = []
    for name in arguments.only:
        start = time.monotonic()
        try:
            measured = measures[name]()
        except OnelookError as error:
            print(f"skipped: {name}: {error}\n", flush=True)
            continue
        tables += measured
        print("\n".join(table.to_markdown() for table in measured), flush=True)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        if arguments.out is not None:
            write_results(arguments.out, systems, tables, limit)


def write_results(out: Path, systems: Systems, tables: list[Table], limit: int | None) -> None:
    """Write all tables as JSON, and the picture of the size tables where they were measured."""
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "model": systems.predictor.fingerprint,
        "systems": systems.names,
        "limit": limit,
        "tables": {table.key: table.to_json() for table in tables},
    }
    write_json(out / "recognition.json", content)
    sizes = [table for table in tables if table.key in ("size_accuracy", "size_false_accepts")]
    if sizes:
        save_figure(out / "sizes.png", plot_sizes(sizes))


if __name__ == "__main__":
    main()
