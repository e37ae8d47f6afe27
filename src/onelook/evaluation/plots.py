"""Curves of an evaluation: as tables for `dvc plots` and as pictures.

Figures are drawn without pyplot, which keeps state, and saved without dates: the same numbers give the same bytes.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter

from onelook.evaluation.average_precision import PrecisionRecall
from onelook.evaluation.reliability import Reliability

# Okabe and Ito 2008, Color Universal Design: blue, orange and green, which color-blind people can tell apart.
_COLORS = ("#0072b2", "#d55e00", "#009e73")
_POINTS = 200


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    """Write a CSV of numbers, rounded to six decimals."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([round(float(value), 6) for value in row] for row in rows)


def save_picture(path: Path, figure: Figure) -> None:
    """Write a figure as PNG; same figure, same bytes."""
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def thin(curve: PrecisionRecall) -> np.ndarray:
    """At most a few hundred points (k, 3) of a curve, evenly spaced in recall: recall, precision, score."""
    if not len(curve.recall):
        return np.zeros((0, 3))
    wanted = np.linspace(0, curve.recall[-1], _POINTS)
    chosen = np.unique(np.minimum(np.searchsorted(curve.recall, wanted), len(curve.recall) - 1))
    return np.stack([curve.recall, curve.precision, curve.scores], axis=1)[chosen]


def draw_precision_recall(curve: PrecisionRecall, title: str) -> Figure:
    """Precision over recall of detection."""
    figure, axes = _axes(title, "recall: share of the labeled faces found", "precision: share of detections on a face")
    axes.plot(curve.recall, curve.precision, color=_COLORS[0])
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    return figure


def draw_rates(rates: np.ndarray, shares: Mapping[str, np.ndarray], *, title: str, across: str, upwards: str) -> Figure:
    """A share (k,) per method, over false-positive rates (k,) on a logarithmic axis."""
    figure, axes = _axes(title, across, upwards)
    for (name, values), color in zip(shares.items(), _COLORS, strict=False):
        axes.plot(rates, values, color=color, label=name)
    axes.set(xscale="log", xlim=(rates[0], 1), ylim=(0, 1.01))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}%"))
    axes.legend(loc="best")
    return figure


OF_PEOPLE = "a face and its own person", "a stranger or false alarm and the most similar person"
OF_PAIRS = "two photos of one person", "photos of two people"


def draw_similarities(
    genuine: np.ndarray, others: np.ndarray, threshold: float, title: str, labels: tuple[str, str] = OF_PEOPLE
) -> Figure:
    """How similar faces (m,) are to their own template, and strangers (k,) to the most similar person; or pairs."""
    figure, axes = _axes(title, "similarity (cosine)", "share of the faces")
    found = genuine[np.isfinite(genuine)]
    everything = np.concatenate([found, others, [threshold]])
    bins = np.linspace(everything.min() - 0.01, everything.max() + 0.01, 51).tolist()
    for values, color, label in (
        (found, _COLORS[0], labels[0]),
        (others, _COLORS[1], labels[1]),
    ):
        if len(values):
            weights = np.full(len(values), 1 / len(values))
            axes.hist(values, bins, weights=weights, color=color, alpha=0.6, label=f"{label} ({len(values)})")
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold: {threshold:.4f}")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="upper left")
    return figure


def draw_reliability(bins: Reliability, title: str) -> Figure:
    """How often names were right, with intervals, over the confidence they had; calibrated is the diagonal."""
    figure, axes = _axes(title, "confidence of the name", "share of the names that are right")
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", label="as promised")
    around = np.stack([bins.right - bins.low, bins.high - bins.right])
    axes.errorbar(bins.confidence, bins.right, around, color=_COLORS[0], marker="o", capsize=3, label="measured")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="upper left")
    return figure


def draw_landmark_error(at: np.ndarray, shares: Mapping[str, np.ndarray], failure: float, title: str) -> Figure:
    """The cumulative share (k,) of faces over their landmark error (k,), by what it is measured in."""
    figure, axes = _axes(title, "landmark error", "share of the found faces with at most this error")
    for (name, share), color in zip(shares.items(), _COLORS, strict=False):
        axes.plot(at, share, color=color, label=f"/ {name}")
    axes.axvline(failure, color="black", linestyle="--", label=f"failure: above {failure:.0%}")
    axes.set(xlim=(0, at[-1]), ylim=(0, 1.01))
    axes.xaxis.set_major_locator(MultipleLocator(0.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="lower right")
    return figure


def _axes(title: str, across: str, upwards: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    axes.grid(alpha=0.3)
    return figure, axes
