"""Test at length whether detection and recognition can share features.

    python benchmarks/hypothesis.py --data ../shared/data [--jobs 2] [--out build/hypothesis]

Four kinds, trained by the recipe of the released weights:

- separate: a network trained for detection alone, and one trained for recognition alone; two passes;
- joint: one network trained for both in every step; one pass;
- frozen: an embedding head on the detector as it is; one pass;
- the detector's last shared layer as an embedding, without training, raw and whitened.

Recognition is trained on the same face crops in the same order by all kinds, and detection on the same scenes. Each
training is repeated three times. Missing trainings run as DVC experiments. All are measured on LFW's development test
pairs and two folds of CFP (people in no training, end to end from the photo) and on 103 WIDER FACE photos. The tables
in docs/hypothesis.md are rewritten and docs/pictures/hypothesis.png drawn.
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from crossed_intervals import Estimate, adjust_holm, estimate_mean
from dvc_experiments import Kind, fetch_model, format_commands, history, run_experiments
from hypothesis_outcomes import LAST_LAYER, METRICS, WHITENED, Outcomes, TestPhotos, TwoPasses
from matplotlib.figure import Figure
from study_metrics import time_passes
from study_settings import released_recipe

from onelook.evaluation.plots import save_figure
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor, public_detector

REPEATS = 3
DOCUMENT = Path("docs/hypothesis.md")
PICTURE = Path("docs/pictures/hypothesis.png")
BEGIN, END = "<!-- made by benchmarks/hypothesis.py -->", "<!-- end of hypothesis.py -->"
ROWS = {
    "separate": "separate: detection alone, recognition alone; two networks, two passes",
    "joint": "joint: one network trained for both; one pass",
    "frozen": "an embedding head on the frozen detector; one pass",
    LAST_LAYER: "the detector's last shared layer at the five points, no training",
    WHITENED: "the same, whitened to 128 dimensions on 1,000 photos of training people",
}
COMPARED = (("joint", "separate"), ("joint", "frozen"), ("frozen", "separate"))
Measured = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
"""By row and repeat: values (1 + resamples,) of all METRICS."""


def kinds(data: Path) -> dict[str, Kind]:
    """Return the four kinds of training; all have as many steps, within one epoch's remainder."""
    changes = {
        "joint": (),
        "detection": ("train.tasks=detection", "train.faces.batch_size=0", "train.epochs=8"),
        "recognition": ("train.tasks=recognition", "train.batch_size=0"),
        "frozen": ("train.backbone_lr_mult=0", "train.batch_size=0"),
    }
    return {name: Kind(f"shared-{name}", released_recipe(data), own, REPEATS) for name, own in changes.items()}


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw/, cfp_folds_1_2/, widerface/, faces/")
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/hypothesis"), help="models and outcomes")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    trained = kinds(arguments.data)
    run_experiments(list(trained.values()), arguments.jobs)
    models = {
        name: [fetch_model(kind.experiment(repeat), arguments.out / "models") for repeat in range(REPEATS)]
        for name, kind in trained.items()
    }
    measured = measure_all(models, TestPhotos(arguments.data), arguments.out / "outcomes")
    one, two = time_passes(*(load_torch_predictor(models[name][0]) for name in ("joint", "detection", "recognition")))
    cost = f"A VGA photo with eight faces: {one:.1f} ms in one pass, {two:.1f} in two ({two / one:.2f} times as long)."
    parts = [write_metrics(measured), write_differences(measured), write_lengths(trained), cost]
    text = "\n\n".join([*parts, format_commands(trained)])
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    save_figure(PICTURE, draw(measured))
    print(text)


def measure_all(models: Mapping[str, Sequence[Path]], photos: TestPhotos, folder: Path) -> Measured:
    """Measure every row of the table; what one network answered is kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)

    def measure(path: Path, predictor: TorchPredictor) -> Mapping[str, np.ndarray]:
        place = folder / f"{path.name}.npz"
        if not place.exists():
            photos.measure(predictor).save(place)
        return photos.resample(Outcomes.load(place))

    measured: dict[str, list[Mapping[str, np.ndarray]]] = {
        name: [measure(path, load_torch_predictor(path)) for path in models[name]] for name in ("joint", "frozen")
    }
    # Somebody else has to find the faces for a network that was trained to know them alone.
    pairs = zip(models["detection"], models["recognition"], strict=True)
    measured["separate"] = [
        measure(second, TwoPasses(load_torch_predictor(first), load_torch_predictor(second))) for first, second in pairs
    ]
    places = {kind: folder / f"{kind.replace(', ', '-').replace(' ', '-')}.npz" for kind in (LAST_LAYER, WHITENED)}
    if not all(place.exists() for place in places.values()):
        for kind, outcomes in photos.measure_last_layer(public_detector()).items():
            outcomes.save(places[kind])
    return measured | {kind: [photos.resample(Outcomes.load(place))] for kind, place in places.items()}


def estimate(values: Sequence[np.ndarray]) -> Estimate:
    """Estimate the mean of the repeats of a metric, (1 + resamples,) each."""
    table = np.stack(values)
    return estimate_mean(table[:, 0], table[:, 1:])


def estimate_differences(measured: Measured) -> dict[tuple[str, str, str], Estimate]:
    """Estimate the difference of each pair of COMPARED in each metric, paired by repeat.

    Differences that are none by construction are left out: the frozen detector of all repeats is one.
    """
    differences = {}
    for (ours, theirs), metric in product(COMPARED, METRICS):
        rows = zip(measured[ours], measured[theirs], strict=True)
        differences[ours, theirs, metric] = estimate([own[metric] - other[metric] for own, other in rows])
    return differences


def write_metrics(measured: Measured) -> str:
    """Return a row a kind: the mean of its repeats with its interval."""
    lines = [f"| what was trained | {' | '.join(METRICS.values())} |", "|---" * (1 + len(METRICS)) + "|"]
    for name, told in ROWS.items():
        cells = [estimate([row[metric] for row in measured[name]]) for metric in METRICS]
        lines.append(f"| {told} | {' | '.join(f'{x.value:.3f} [{x.low:.3f}, {x.high:.3f}]' for x in cells)} |")
    return "\n".join(lines)


def write_differences(measured: Measured) -> str:
    """Return a row a pair of kinds: differences in points with their intervals and adjusted p values."""
    differences = estimate_differences(measured)
    adjusted = dict(zip(differences, adjust_holm([each.p for each in differences.values()]), strict=True))
    lines = [f"| difference, points | {' | '.join(METRICS.values())} |", "|---" * (1 + len(METRICS)) + "|"]
    for ours, theirs in COMPARED:
        cells = []
        for metric in METRICS:
            key = ours, theirs, metric
            value, low, high = (100 * each for each in differences[key][:3])
            cells.append(f"{value:+.1f} [{low:+.1f}, {high:+.1f}], p {adjusted[key]:.2g}")
        lines.append(f"| {ours} − {theirs} | {' | '.join(cells)} |")
    note = f"p: adjusted for the {len(differences)} comparisons of this table by Holm's procedure; intervals are not."
    return "\n".join(lines) + f"\n\n{note}"


def write_lengths(trained: Mapping[str, Kind]) -> str:
    """Return the losses of the first and the last epoch of each kind: whether it would still learn."""
    cells = []
    for name, kind in trained.items():
        rows = history(kind.experiment(0))
        told = {loss: [row[f"loss.{loss}"] for row in (rows[0], rows[-1])] for loss in ("distillation", "box")
                if f"loss.{loss}" in rows[0]}  # fmt: skip
        cells += [f"{name} {loss} {first:.3f} to {last:.3f}" for loss, (first, last) in told.items()]
    return f"Losses of the first and of the last epoch: {'; '.join(cells)}."


def draw(measured: Measured) -> Figure:
    """Draw a dot a repeat, and the mean with its interval; one panel a metric."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for axes, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for place, name in enumerate(ROWS):
            rows = [row[metric] for row in measured[name]]
            mean = estimate(rows)
            color = "tab:orange" if name == "joint" else "tab:blue"
            axes.plot([mean.low, mean.high], [place] * 2, color=color, linewidth=5, alpha=0.3, solid_capstyle="butt")
            axes.plot([row[0] for row in rows], [place] * len(rows), "o", color=color, alpha=0.6, markersize=4)
            axes.plot([mean.value] * 2, [place - 0.3, place + 0.3], color=color)
        axes.set_title(title, fontsize=11)
        axes.grid(alpha=0.3)
    panels[0].set_yticks(range(len(ROWS)), list(ROWS))
    panels[0].invert_yaxis()
    figure.suptitle("Sharing features: dots are trainings, marks their means, bars 95 % intervals", fontsize=12)
    return figure


if __name__ == "__main__":
    main()
