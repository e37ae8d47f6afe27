"""Tables and figure of the grid study; a helper of grid_study.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from grid_evaluation import PhotoSet, Predictions
from grid_metrics import EQUIVALENCE_COVERAGE, MARGIN, Interval, mean_intervals
from grid_training import COMMON, MOSAIC, Training, Variant
from matplotlib.figure import Figure

UNSEEN_ROWS = {
    "joint": "joint, the last layer",
    "recognition": "recognition alone, the last layer",
    "untrained": "the same layer before training",
    "eigenfaces": "eigenfaces of the known people",
    "released": "the released weights",
}
COLORS = {"joint": "#0072b2", "recognition": "#d55e00", "detection": "#009e73"}


@dataclass(frozen=True)
class Results:
    """Finished trainings and their predictions.

    Attributes:
        out: folder of the results.
        variants: by name.
        trainings: all of them.
        sets: photos by name.
        predictions: by names of variant and photo set, a seed each.
    """

    out: Path
    variants: Mapping[str, Variant]
    trainings: Sequence[Training]
    sets: Mapping[str, PhotoSet]
    predictions: Mapping[tuple[str, str], Sequence[Predictions]]

    def stack(self, variant: str, photos: str, field: str) -> np.ndarray:
        """Return a field of the predictions, seeds first."""
        return np.stack([getattr(each, field) for each in self.predictions[variant, photos]])

    def intervals(self, photos: str, values: Mapping[str, np.ndarray]) -> dict[str, Interval]:
        """Return the means of (seeds, faces) arrays with intervals over the people of a photo set."""
        return mean_intervals(values, self.sets[photos].labels.people)

    def histories(self, variant: str) -> list[list[dict[str, float]]]:
        """Return the metrics of each epoch, a seed each."""
        paths = [each.folder(self.out) / "history.json" for each in self.trainings if each.name == variant]
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def write_tables(results: Results, split: str, unseen: Mapping[str, Mapping[str, Interval]]) -> str:
    """Return all tables as Markdown.

    Args:
        results: of all trainings.
        split: description of the split.
        unseen: metrics of embeddings by system.
    """
    seeds = len(results.predictions["joint", "test"])
    settings = ", ".join(f"`{name}={value}`" for name, value in COMMON.items())
    mosaics = ", ".join(f"`{name}={value}`" for name, value in MOSAIC.items())
    people = len(np.unique(results.sets["test"].labels.people))
    return "\n\n".join(
        [
            f"{split} {seeds} seeds. Chance of the closed set: {100 / people:.1f}. All in per cent. Brackets: 95 % "
            f"intervals over people and seeds; of differences, {100 * EQUIVALENCE_COVERAGE:.0f} % intervals in points.",
            "**Experiment 1.** Single photos of known people:",
            write_first(results),
            write_differences(results),
            "**Experiment 2.** Photos of unseen people:",
            write_unseen(results, unseen),
            "**Experiments 3 and 4.** Mosaics, and single photos beside them:",
            write_mosaics(results),
            write_gains(results),
            f"Settings: {settings}. With mosaics: {mosaics}. All else: the defaults.",
        ]
    )


def write_first(results: Results) -> str:
    """Return accuracy and IoU of joint and separate networks on single photos."""
    lines = [
        _row("trained", "accuracy, end to end", "accuracy at the labeled landmarks", "faces found", "box IoU"),
        _rule(5),
    ]
    labels = {"joint": "joint: one network", "recognition": "separate: detection alone, then recognition alone"}
    for name, label in labels.items():
        values = {
            field: results.stack(name, "test", field).astype(np.float64)
            for field in ("is_right", "is_right_given", "ious")
        }
        values["found"] = np.isfinite(results.stack(name, "test", "landmarks")).all(axis=(2, 3))
        known = results.intervals("test", values)
        lines.append(_row(label, *(_percent(known[each]) for each in ("is_right", "is_right_given", "found", "ious"))))
    return "\n".join(lines)


def write_differences(results: Results) -> str:
    """Return joint minus separate, and the verdict of the equivalence test."""
    fields = {
        "is_right": "accuracy, end to end",
        "is_right_given": "accuracy at the labeled landmarks",
        "ious": "box IoU",
    }
    lines = [_row("joint minus separate", "difference", f"within ±{100 * MARGIN:.0f} points"), _rule(3)]
    known = results.intervals(
        "test", {field: _gain(results, "joint", "recognition", "test", field) for field in fields}
    )
    for field, label in fields.items():
        lines.append(_row(label, _points(known[field]), "yes" if known[field].is_equivalent else "not shown"))
    return "\n".join(lines)


def write_unseen(results: Results, unseen: Mapping[str, Mapping[str, Interval]]) -> str:
    """Return verification accuracy and rank-1 by system."""
    people = results.sets["unseen"].labels.people
    _, counts = np.unique(people, return_counts=True)
    chance = float((counts * (counts - 1)).sum()) / (len(people) * (len(people) - 1))
    lines = [_row("embedding", "accuracy on pairs", "rank-1"), _rule(3)]
    lines += [
        _row(label, _percent(unseen[name]["accuracy"]), _percent(unseen[name]["rank1"]))
        for name, label in UNSEEN_ROWS.items()
    ]
    return "\n".join([*lines, _row("chance", "50.0", f"{100 * chance:.1f}")])


def write_mosaics(results: Results) -> str:
    """Return accuracy and IoU on mosaics and on single photos, of joint trainings."""
    heads = ["accuracy on mosaics", "faces found", "box IoU", "accuracy on single photos"]
    lines = [_row("experiment", "trained", *heads), _rule(6)]
    rows = (("3", "joint", "on single photos"), ("3, 4", "mosaics", "on mosaics"), ("4", "decoder", "on mosaics"))
    for experiment, name, trained in rows:
        scales = results.variants[name].settings(0).model.grid.scales
        values = {"right": results.stack(name, "mosaics", "is_right"), "iou": results.stack(name, "mosaics", "ious")}
        values["found"] = np.isfinite(results.stack(name, "mosaics", "landmarks")).all(axis=(2, 3))
        known = results.intervals("mosaics", values)
        single = results.intervals("test", {"right": results.stack(name, "test", "is_right")})["right"]
        cells = [*(_percent(known[each]) for each in ("right", "found", "iou")), _percent(single)]
        lines.append(_row(experiment, f"{trained}, {list(scales)}", *cells))
    return "\n".join(lines)


def write_gains(results: Results) -> str:
    """Return the differences of experiments 3 and 4 in points."""
    lines = [_row("difference", "accuracy, end to end", "box IoU"), _rule(3)]
    mosaics = results.intervals(
        "mosaics", {field: _gain(results, "decoder", "mosaics", "mosaics", field) for field in ("is_right", "ious")}
    )
    lines.append(_row("decoder minus [5], on mosaics", _points(mosaics["is_right"]), _points(mosaics["ious"])))
    return "\n".join(lines)


def draw(results: Results) -> Figure:
    """Draw the accuracy during the trainings, and accuracy and IoU of each seed on the test photos."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    curves, points, boxes = figure.subplots(1, 3)
    for name, metric in (("joint", "given_accuracy"), ("recognition", "given_accuracy")):
        rows = np.array([[100 * epoch[metric] for epoch in history] for history in results.histories(name)])
        epochs = np.arange(1, rows.shape[1] + 1)
        curves.plot(epochs, rows.mean(axis=0), color=COLORS[name], label=results.variants[name].label)
        curves.fill_between(epochs, rows.min(axis=0), rows.max(axis=0), color=COLORS[name], alpha=0.2)
    curves.set(xlabel="epoch", title="accuracy on validation photos, %,\nat the labeled landmarks")
    curves.legend(fontsize=8)
    sides = {"joint": ("joint", "joint"), "separate": ("recognition", "detection")}
    for axes, column, field, title in (
        (points, 0, "is_right", "accuracy on test photos, %,\nend to end"),
        (boxes, 1, "ious", "box IoU on test photos, %"),
    ):
        values = np.array([100 * results.stack(own[column], "test", field).mean(axis=1) for own in sides.values()])
        axes.plot(range(len(sides)), values, color="0.7", linewidth=1)
        for number, own in enumerate(sides.values()):
            axes.scatter([number] * values.shape[1], values[number], color=COLORS[own[column]], zorder=2)
        axes.set_xticks(range(len(sides)), list(sides))
        axes.set(xlim=(-0.5, 1.5), title=title)
    for axes in (curves, points, boxes):
        axes.grid(alpha=0.3)
    return figure


def _gain(results: Results, own: str, other: str, photos: str, field: str) -> np.ndarray:
    difference: np.ndarray = results.stack(own, photos, field) * 1.0 - results.stack(other, photos, field)
    return difference


def _row(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _rule(columns: int) -> str:
    return "|---" * columns + "|"


def _percent(value: Interval) -> str:
    return f"{100 * value.value:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _points(value: Interval) -> str:
    low, high = 100 * value.equivalence_low, 100 * value.equivalence_high
    return f"{100 * value.value:+.1f} [{low:+.1f}, {high:+.1f}]"
