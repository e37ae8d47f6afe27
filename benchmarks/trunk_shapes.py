"""Would a trunk whose early layers cost less do as well? Other shapes, taught by the released network, in one table.

    python benchmarks/trunk_shapes.py --data ../shared/data [--out build/trunk_shapes] [--threads 2]

Each shape of `trunks.py` takes the place of the released trunk and is taught as `trunk_training.py` says, once, with
one thread. What is taught already, or measured, is not taught or measured again; a training that was interrupted goes
on. Then all are timed in turns: a pass over a VGA photo and the embedding of its one face, made ready in the fastest
precision. AP at IoU .5 on 103 WIDER FACE photos and verification on LFW's development test pairs are in float32.
Rewrites the table of docs/trunk_shapes.md and draws its picture.
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
from lfw_verification import look_at
from machine import processor
from matplotlib.figure import Figure
from measures import Bench, Figures
from one_look import DETECT, HEIGHT, THREADS, WIDTH, mosaic
from real_photos import wider_ap
from rich.console import Console
from rich.progress import track
from trunk_training import BATCH, STAGES, Photos, trained
from trunks import REFERENCE, SHAPES, folded, multiply_adds

from onelook.data.image_io import read_image
from onelook.evaluation.plots import save_picture
from onelook.files import write_json
from onelook.inference.fast.memory import retain_freed_memory
from onelook.inference.fast.network import fastest_precision, optimize_for_inference
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork

DOCUMENT, PICTURE = Path("docs/trunk_shapes.md"), Path("docs/pictures/trunk_shapes.png")
BEGIN, END = "<!-- made by benchmarks/trunk_shapes.py -->", "<!-- end -->"
SIDES = (640, 1024)  # that WIDER photos are looked at
COLUMNS = {
    "wider_640": "WIDER AP .5, 640",
    "wider_1024": "WIDER AP .5, 1024",
    "accuracy": "LFW accuracy",
    "tar": "TAR at 1 % FAR",
    "accuracy_at_points": "LFW accuracy at the released points",
}
PANELS = {"wider_640": "AP on WIDER FACE photos of 640 pixels, %", "accuracy": "accuracy on LFW's test pairs, %"}
ALLOWED = 0.2  # points of AP and accuracy that a kept shape might lose
ROUNDS, LOOKS = 40, 5  # turns, and looks a turn


class Cost(NamedTuple):
    """Milliseconds of a pass and an embedding, and how many times the released network's."""

    milliseconds: float
    ratio: float


def main() -> None:
    """Teach, measure, time, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/, widerface/ and scenes/")
    parser.add_argument("--out", type=Path, default=Path("build/trunk_shapes"), help="trained networks and figures")
    parser.add_argument("--threads", type=int, default=THREADS, help="of the looks that are timed")
    arguments = parser.parse_args()
    photos = Photos(arguments.data)
    networks = {name: folded(trained(name, shape, photos, arguments.out)) for name, shape in SHAPES.items()}
    adds = {name: multiply_adds(network, HEIGHT, WIDTH) for name, network in networks.items()}
    taught = {name: network for name, network in networks.items() if SHAPES[name].trained or name == REFERENCE}
    figures = measured(arguments.data, taught, arguments.out)
    torch.use_deterministic_algorithms(False)  # which a training asks for
    torch.set_num_threads(arguments.threads)
    costs = timed(networks, mosaic(arguments.data, 1, 1))
    text = "\n\n".join([write_table(adds, costs, figures), write_counts(photos, arguments.threads)])
    print(text)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    save_picture(PICTURE, draw(costs, figures))


def measured(data: Path, networks: Mapping[str, JointNetwork], folder: Path) -> dict[str, Figures]:
    """The figures of each network that was taught, in float32; each is measured once and remembered in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {name: folder / f"{name}.json" for name in networks}
    if missing := [name for name, place in places.items() if not place.exists()]:
        bench = Bench(data)
        points = look_at(float_looker(networks[REFERENCE]), bench.photos)[1]
        for name in missing:
            write_json(places[name], figures_of(float_looker(networks[name]), bench, points))
    return {name: json.loads(place.read_text(encoding="utf-8")) for name, place in places.items()}


def figures_of(looker: TorchPredictor, bench: Bench, points: np.ndarray) -> Figures:
    """Detection, verification, and verification with the faces where points (n, 5, 2) of each photo are."""
    precisions = {f"wider_{side}": wider_ap(looker, bench.wider, side) for side in SIDES}
    _, _, embeddings = look_at(looker, bench.photos)
    given = np.array(
        [looker.embed(read_image(path), each[None])[0] for path, each in zip(bench.photos, points, strict=True)]
    )
    at_points = {"accuracy_at_points": bench.verify(given)["accuracy"]}
    return {**precisions, **bench.verify(embeddings), **at_points}


def float_looker(network: JointNetwork) -> TorchPredictor:
    """A looker with a copy of a network made ready."""
    return TorchPredictor(optimize_for_inference(deepcopy(network), "float32"))


@torch.inference_mode()
def timed(networks: Mapping[str, JointNetwork], photo: np.ndarray) -> dict[str, Cost]:
    """What a pass and the face's embedding cost each network, which is made ready; in turns, median of their medians.

    Where the face is, the released network says for all: a shape that was not taught would embed whatever it sees.
    """
    retain_freed_memory()
    ready = {name: optimize_for_inference(network, fastest_precision()) for name, network in networks.items()}
    points = [torch.from_numpy(TorchPredictor(ready[REFERENCE]).predict([photo], DETECT)[0].landmarks)]
    image = torch.from_numpy(photo[None]).permute(0, 3, 1, 2)  # in memory as a look has it
    times: dict[str, list[float]] = {name: [] for name in ready}
    for turn in track(range(ROUNDS + 1), description="looks", transient=True, console=Console(stderr=True)):
        for name, network in ready.items():
            taken = []
            for _ in range(LOOKS):
                start = time.perf_counter()
                network.embed(network(image).maps, points)
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


def write_table(adds: Mapping[str, int], costs: Mapping[str, Cost], figures: Mapping[str, Figures]) -> str:
    """A row a shape; in brackets the differences to the released network, in points."""
    lines = [
        f"| | trunk | multiply-adds, millions | pass and one face, ms | × released | {' | '.join(COLUMNS.values())} |"
    ]
    lines.append("|---" * (5 + len(COLUMNS)) + "|")
    for name, shape in SHAPES.items():
        cost = costs[name]
        cells = [_cell(figures, name, column) for column in COLUMNS]
        told = f"{name} | {shape.told} | {adds[name] / 1e6:.0f} | {cost.milliseconds:.2f} | {cost.ratio:.3f}"
        lines.append(f"| {told} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_counts(photos: Photos, threads: int) -> str:
    """What was trained on and how long, and what the looks were timed on."""
    steps = " and ".join(f"{stage.steps}" for stage in STAGES)
    return (
        f"Each taught once, in {steps} steps of {BATCH} crops, from {len(photos.people)} LFW photos and "
        f"{len(photos.web)} web photos. Timed on {processor()}, threads: {threads}, {fastest_precision()}; medians of "
        f"{ROUNDS} turns of {LOOKS} looks, the ratio that of the turns' own."
    )


def draw(costs: Mapping[str, Cost], figures: Mapping[str, Figures]) -> Figure:
    """A point a shape: cost across, what it comes to upwards; a panel a figure."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, (column, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for name, of_shape in figures.items():
            place = costs[name].milliseconds, 100 * of_shape[column]
            color = "tab:orange" if name == REFERENCE else "tab:blue"
            axes.plot(*place, "o", color=color)
            axes.annotate(name, place, xytext=(0, 7), textcoords="offset points", ha="center", color=color, fontsize=9)
        lost = 100 * figures[REFERENCE][column] - ALLOWED
        axes.axhline(lost, color="gray", linestyle=":", linewidth=1)
        axes.annotate(
            f"{ALLOWED} points lost", (0.01, lost), xycoords=("axes fraction", "data"), va="bottom", fontsize=8
        )
        axes.set(title=title, xlabel="a pass over a VGA photo and one embedding, ms")
        axes.margins(0.15)
        axes.grid(alpha=0.3)
    figure.suptitle("Other trunks, each taught once by the released network", fontsize=12)
    return figure


def _cell(figures: Mapping[str, Figures], name: str, column: str) -> str:
    if name not in figures:
        return "–"
    value = figures[name][column]
    return f"{value:.4f}" + ("" if name == REFERENCE else f" ({100 * (value - figures[REFERENCE][column]):+.2f})")


if __name__ == "__main__":
    main()
