"""Test whether detection and recognition can share features.

Three experiments, one table.

    python benchmarks/hypothesis.py --data ../shared/data [--jobs 2] [--out build/hypothesis]

1. Joint against separate: the backbone trained for detection alone, for recognition alone, for both;
   two networks in two passes against one in one.
2. Last shared layer as an embedding: as it is, and whitened; then a head trained on the frozen backbone; then the
   backbone trained with it.
3. One face a photo against several composed into one, with equally many faces in all and in a step.

Each is trained three times. Missing trainings run as DVC experiments. All are measured on LFW's development test
pairs (people in no training, end to end from the full photo) and on 103 WIDER FACE photos. The table in
docs/hypothesis.md is rewritten and docs/pictures/hypothesis.png drawn.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from dvc_experiments import Kind, fetch_model, format_commands, run_experiments
from matplotlib.figure import Figure
from study_metrics import Bench, Figures, TwoPasses, time_passes
from study_settings import common

from onelook.evaluation.bootstrap import paired_difference
from onelook.evaluation.plots import save_figure
from onelook.files import write_json
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor

REPEATS = 3
DOCUMENT = Path("docs/hypothesis.md")
PICTURE = Path("docs/pictures/hypothesis.png")
BEGIN, END = "<!-- made by benchmarks/hypothesis.py -->", "<!-- end -->"
COLUMNS = {"accuracy": "LFW accuracy", "tar": "TAR at 1 % FAR", "wider_ap": "WIDER AP .5"}
# Experiment, kind, how the table tells it.
ROWS = (
    ("1", "recognition", "separate: detection alone, then recognition alone; two networks, two passes"),
    ("1, 2, 3", "both", "joint: one backbone trained for both, several faces per photo; one pass"),
    ("2", "last-layer-as-it-is", "the detector's last shared layer at the five landmarks, no training"),
    ("2", "last-layer-whitened", "the same, whitened to 128 dimensions on 1,000 photos of training people"),
    ("2", "frozen-backbone", "a head trained on the frozen backbone"),
    ("3", "one-face-a-photo", "joint, one face per photo"),
)


def kinds(data: Path) -> dict[str, Kind]:
    """Return the five kinds of training.

    With one face a photo, photos and crops are smaller and a batch holds more of them, so that faces in all, faces in
    a step and steps are equal.
    """
    changes = {
        "both": (),
        "one-face-a-photo": (
            "prepare.compose.faces_per_scene=[1,1]",
            "prepare.compose.train=4050",
            "prepare.compose.width=256",
            "prepare.compose.height=256",
            "train.batch_size=54",
            "train.augment.crop_size=192",
        ),
        "detection": ("train.tasks=detection",),
        "recognition": ("train.tasks=recognition",),
        "frozen-backbone": ("train.backbone_lr_mult=0",),
    }
    return {name: Kind(name, common(data), own, REPEATS) for name, own in changes.items()}


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/, widerface/ and weights/")
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/hypothesis"), help="models and metrics")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    trained = kinds(arguments.data)
    run_experiments(list(trained.values()), arguments.jobs)
    models = {
        name: [fetch_model(kind.experiment(repeat), arguments.out / "models") for repeat in range(REPEATS)]
        for name, kind in trained.items()
    }
    metrics = measured(models, Bench(arguments.data), arguments.out / "metrics")
    one, two = time_passes(*(load_torch_predictor(models[name][0]) for name in ("both", "detection", "recognition")))
    cost = f"A VGA photo with eight faces: {one:.1f} ms in one pass, {two:.1f} in two ({two / one:.2f} times as long)."
    table = "\n\n".join([write_table(metrics), write_differences(metrics), cost, format_commands(trained)])
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    save_figure(PICTURE, draw(metrics))
    print(table)


def measured(models: Mapping[str, Sequence[Path]], bench: Bench, folder: Path) -> dict[str, list[Figures]]:
    """Return the metrics of every kind and repeat.

    Each model is measured once and cached in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def predict(name: str, repeat: int) -> TorchPredictor:
        predictor = load_torch_predictor(models[name][repeat])
        # Somebody else has to find the faces for a network that was trained to know them alone.
        return (
            TwoPasses(load_torch_predictor(models["detection"][repeat]), predictor)
            if name == "recognition"
            else predictor
        )

    metrics: dict[str, list[Figures]] = {}
    for name, folders in models.items():
        for repeat, model in enumerate(folders):
            place = folder / f"{model.name}.json"
            if name != "detection":
                if not place.exists():
                    write_json(place, bench.measure(predict(name, repeat)))
                metrics.setdefault(name, []).append(json.loads(place.read_text(encoding="utf-8")))
    for how in ("as-it-is", "whitened"):
        metrics[f"last-layer-{how}"] = [bench.last_layer(how)]
    return metrics


def write_table(metrics: Mapping[str, Sequence[Figures]]) -> str:
    """Print a row a kind: mean of the repeats, and the lowest and highest of them."""
    lines = [f"| experiment | what was trained | {' | '.join(COLUMNS.values())} |", "|---" * (2 + len(COLUMNS)) + "|"]
    for experiment, name, told in ROWS:
        cells = [_shown([row[column] for row in metrics[name]]) for column in COLUMNS]
        lines.append(f"| {experiment} | {told} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_differences(metrics: Mapping[str, Sequence[Figures]]) -> str:
    """Print the gain of joint training on several faces a photo over each other kind.

    In points.
    """
    lines = [f"| joint against, points | {' | '.join(COLUMNS.values())} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name in ("recognition", "frozen-backbone", "one-face-a-photo"):
        cells = []
        for column in COLUMNS:
            ours, theirs = ([row[column] for row in metrics[each]] for each in ("both", name))
            mean, low, high = (100 * each for each in paired_difference(ours, theirs))
            cells.append(f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]")
        told = {"recognition": "separate", "frozen-backbone": "frozen backbone"}
        told |= {"one-face-a-photo": "one face per photo"}
        lines.append(f"| {told[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(metrics: Mapping[str, Sequence[Figures]]) -> Figure:
    """Draw a dot a repeat and a bar at the mean; one panel a metric."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, len(COLUMNS), sharey=True)
    names = [name for _, name, _ in ROWS]
    labels = {"recognition": "separate (1)", "both": "joint (1, 2, 3)", "one-face-a-photo": "one face per photo (3)"}
    labels |= {"frozen-backbone": "frozen backbone (2)", "last-layer-as-it-is": "last layer, raw (2)"}
    labels |= {"last-layer-whitened": "last layer, whitened (2)"}
    for axes, (column, title) in zip(panels, COLUMNS.items(), strict=True):
        for place, name in enumerate(names):
            values = [row[column] for row in metrics[name]]
            color = "tab:orange" if name == "both" else "tab:blue"
            axes.plot(values, [place] * len(values), "o", color=color, alpha=0.6)
            axes.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color=color)
        axes.set_title(title, fontsize=11)
        axes.grid(alpha=0.3)
    panels[0].set_yticks(range(len(names)), [labels[name] for name in names])
    panels[0].invert_yaxis()
    figure.suptitle("Sharing features: each dot is one training, each bar a mean (experiment)", fontsize=12)
    return figure


def _shown(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{np.mean(values):.4f} [{min(values):.4f}, {max(values):.4f}]"


if __name__ == "__main__":
    main()
