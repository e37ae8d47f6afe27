"""Compare cheaper early layers of the backbone.

Distilled from the released network, in one table.

    python benchmarks/backbone_shapes.py --data ../shared/data [--out build/backbone_shapes] [--threads 2]

Each shape of `backbone_variants.py` replaces the released backbone and is distilled once by
`backbone_distillation.py`, with one thread.
Finished trainings and measurements are cached; an interrupted one continues. Then all are timed in turns:
a pass over a VGA photo and the embedding of its one face, in the fastest precision. AP at IoU .5 on 103 WIDER FACE
photos and verification on LFW's development test pairs are in float32. The table of docs/backbone_shapes.md is
rewritten and its picture drawn.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from backbone_distillation import BATCH, STAGES, Photos, distill
from backbone_variants import REFERENCE, SHAPES, folded, multiply_adds
from detection_retention import wider_ap
from lfw_verification import embed_center_faces
from machine_info import processor
from matplotlib.figure import Figure
from one_look import DETECT, HEIGHT, THREADS, WIDTH, compose_grid
from rich.console import Console
from rich.progress import track
from study_metrics import Bench, Figures

from onelook.data.image_io import read_image
from onelook.evaluation.plots import save_figure
from onelook.files import write_json
from onelook.inference.fast.network import fastest_precision, optimize_for_inference
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.process import retain_freed_memory

DOCUMENT, PICTURE = Path("docs/backbone_shapes.md"), Path("docs/pictures/backbone_shapes.png")
BEGIN, END = "<!-- made by benchmarks/backbone_shapes.py -->", "<!-- end -->"
SIDES = (640, 1024)  # that WIDER photos are looked at
COLUMNS = {
    "wider_640": "WIDER AP .5, 640",
    "wider_1024": "WIDER AP .5, 1024",
    "accuracy": "LFW accuracy",
    "tar": "TAR at 1 % FAR",
    "accuracy_at_points": "LFW accuracy at the released network's landmarks",
}
PANELS = {"wider_640": "AP on WIDER FACE photos of 640 pixels, %", "accuracy": "accuracy on LFW's test pairs, %"}
ALLOWED = 0.2  # points of AP and accuracy that a kept shape might lose
ROUNDS, LOOKS = 40, 5  # turns, and looks a turn


class Cost(NamedTuple):
    """Milliseconds of a pass and an embedding.

    And their ratio to the released network's.
    """

    milliseconds: float
    ratio: float


def main() -> None:
    """Distill, measure, time and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/, widerface/ and scenes/")
    parser.add_argument("--out", type=Path, default=Path("build/backbone_shapes"), help="trained networks and metrics")
    parser.add_argument("--threads", type=int, default=THREADS, help="threads of the timed passes")
    arguments = parser.parse_args()
    photos = Photos(arguments.data)
    networks = {name: folded(distill(name, shape, photos, arguments.out)) for name, shape in SHAPES.items()}
    adds = {name: multiply_adds(network, HEIGHT, WIDTH) for name, network in networks.items()}
    distilled = {name: network for name, network in networks.items() if SHAPES[name].distill or name == REFERENCE}
    metrics = measured(arguments.data, distilled, arguments.out)
    torch.use_deterministic_algorithms(False)  # which a training asks for
    torch.set_num_threads(arguments.threads)
    costs = timed(networks, compose_grid(arguments.data, 1, 1))
    text = "\n\n".join([write_table(adds, costs, metrics), write_counts(photos, arguments.threads)])
    print(text)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    save_figure(PICTURE, draw(costs, metrics))


def measured(data: Path, networks: Mapping[str, JointNetwork], folder: Path) -> dict[str, Figures]:
    """Return the float32 metrics of each distilled network.

    Each is measured once and cached in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = {name: folder / f"{name}.json" for name in networks}
    if missing := [name for name, place in places.items() if not place.exists()]:
        bench = Bench(data)
        points = embed_center_faces(float_predictor(networks[REFERENCE]), bench.photos)[1]
        for name in missing:
            write_json(places[name], evaluate_network(float_predictor(networks[name]), bench, points))
    return {name: json.loads(place.read_text(encoding="utf-8")) for name, place in places.items()}


def evaluate_network(predictor: TorchPredictor, bench: Bench, points: np.ndarray) -> Figures:
    """Return detection, verification, and verification with faces at given points.

    N, 5, 2 of each photo.
    """
    precisions = {f"wider_{side}": wider_ap(predictor, bench.wider, side) for side in SIDES}
    _, _, embeddings = embed_center_faces(predictor, bench.photos)
    given = np.array(
        [
            predictor.embed(read_image(path), each[None], DETECT)[0]
            for path, each in zip(bench.photos, points, strict=True)
        ]
    )
    at_points = {"accuracy_at_points": bench.verify(given)["accuracy"]}
    return {**precisions, **bench.verify(embeddings), **at_points}


def float_predictor(network: JointNetwork) -> TorchPredictor:
    """Return a predictor with an optimized copy of a network."""
    return TorchPredictor(optimize_for_inference(deepcopy(network), "float32"))


@torch.inference_mode()
def timed(networks: Mapping[str, JointNetwork], photo: np.ndarray) -> dict[str, Cost]:
    """Time a pass and an embedding of each optimized network.

    In turns, median of their medians.

    The face's location comes from the released network for all: an untrained shape would embed false detections.
    """
    retain_freed_memory()
    ready = {name: optimize_for_inference(network, fastest_precision()) for name, network in networks.items()}
    points = [torch.from_numpy(TorchPredictor(ready[REFERENCE]).predict([photo], DETECT)[0].landmarks)]
    image = torch.from_numpy(photo[None]).permute(0, 3, 1, 2)  # in memory as a look has it
    times: dict[str, list[float]] = {name: [] for name in ready}
    for turn in track(range(ROUNDS + 1), description="timing", transient=True, console=Console(stderr=True)):
        for name, network in ready.items():
            taken = []
            for _ in range(LOOKS):
                start = time.perf_counter()
                network.embed(network(image).feature_maps, points)
                taken.append(1000 * (time.perf_counter() - start))
            if turn:  # the first one warms up
                times[name].append(statistics.median(taken))
    return {
        name: Cost(
            statistics.median(taken),
            statistics.median(own / theirs for own, theirs in zip(taken, times[REFERENCE], strict=True)),
        )
        for name, taken in times.items()
    }


def write_table(adds: Mapping[str, int], costs: Mapping[str, Cost], metrics: Mapping[str, Figures]) -> str:
    """Print a row a shape; in brackets the differences to the released network.

    In points.
    """
    lines = [
        "| | backbone | multiply-adds, millions | pass and one face, ms | × released | "
        f"{' | '.join(COLUMNS.values())} |"
    ]
    lines.append("|---" * (5 + len(COLUMNS)) + "|")
    for name, shape in SHAPES.items():
        cost = costs[name]
        cells = [_cell(metrics, name, column) for column in COLUMNS]
        row = f"{name} | {shape.label} | {adds[name] / 1e6:.0f} | {cost.milliseconds:.2f} | {cost.ratio:.3f}"
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_counts(photos: Photos, threads: int) -> str:
    """Print the training data, its duration, and the photos of the timing."""
    steps = " and ".join(f"{stage.steps}" for stage in STAGES)
    return (
        f"Each distilled once, in {steps} steps of {BATCH} crops, from {len(photos.people)} LFW photos and "
        f"{len(photos.web)} web photos. Timed on {processor()}, threads: {threads}, {fastest_precision()}. Times are "
        f"medians of {ROUNDS} rounds of {LOOKS} passes; the ratio is the median of the rounds' ratios. Differences in "
        "brackets are in points."
    )


def draw(costs: Mapping[str, Cost], metrics: Mapping[str, Figures]) -> Figure:
    """Draw a point a shape: cost across, metric upwards; a panel a metric."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, (column, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for name, of_shape in metrics.items():
            place = costs[name].milliseconds, 100 * of_shape[column]
            color = "tab:orange" if name == REFERENCE else "tab:blue"
            axes.plot(*place, "o", color=color)
            axes.annotate(name, place, xytext=(0, 7), textcoords="offset points", ha="center", color=color, fontsize=9)
        lost = 100 * metrics[REFERENCE][column] - ALLOWED
        axes.axhline(lost, color="gray", linestyle=":", linewidth=1)
        axes.annotate(
            f"{ALLOWED} points lost", (0.01, lost), xycoords=("axes fraction", "data"), va="bottom", fontsize=8
        )
        axes.set(title=title, xlabel="a pass over a VGA photo and one embedding, ms")
        axes.margins(0.15)
        axes.grid(alpha=0.3)
    figure.suptitle("Cheaper backbones, each distilled once from the released network", fontsize=12)
    return figure


def _cell(metrics: Mapping[str, Figures], name: str, column: str) -> str:
    if name not in metrics:
        return "–"
    value = metrics[name][column]
    return f"{value:.4f}" + ("" if name == REFERENCE else f" ({100 * (value - metrics[REFERENCE][column]):+.2f})")


if __name__ == "__main__":
    main()
