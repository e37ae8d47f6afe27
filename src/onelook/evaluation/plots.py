"""Curves of an evaluation, as CSV for `dvc plots` and as figures.

Figures are drawn without pyplot, which keeps global state, and saved without dates: equal numbers give equal bytes.
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
from onelook.evaluation.open_set_calibration import ReliabilityDiagram

# Blue, orange and green of the color-blind safe palette (Okabe and Ito 2008, "Color Universal Design").
_COLORS = ("#0072b2", "#d55e00", "#009e73")
_POINTS = 200


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    """Write a CSV file of numbers, rounded to six decimals."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([round(float(value), 6) for value in row] for row in rows)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG; equal figures give equal bytes."""
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def subsample_curve(curve: PrecisionRecall) -> np.ndarray:
    """Select at most 200 points (k, 3) of a curve, evenly spaced in recall.

    The columns are recall, precision and score.
    """
    if not len(curve.recall):
        return np.zeros((0, 3))
    targets = np.linspace(0, curve.recall[-1], _POINTS)
    selected = np.unique(np.minimum(np.searchsorted(curve.recall, targets), len(curve.recall) - 1))
    return np.stack([curve.recall, curve.precision, curve.scores], axis=1)[selected]


def plot_precision_recall(curve: PrecisionRecall, title: str) -> Figure:
    """Plot the precision-recall curve of detection."""
    figure, axes = _make_axes(
        title, "recall: fraction of the labeled faces detected", "precision: fraction of the detections on a face"
    )
    axes.plot(curve.recall, curve.precision, color=_COLORS[0])
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    return figure


def plot_rates(
    false_rates: np.ndarray, rates: Mapping[str, np.ndarray], *, title: str, xlabel: str, ylabel: str
) -> Figure:
    """Plot a rate (k,) of each method over false-positive rates (k,), x logarithmic."""
    figure, axes = _make_axes(title, xlabel, ylabel)
    for (name, values), color in zip(rates.items(), _COLORS, strict=False):
        axes.plot(false_rates, values, color=color, label=name)
    axes.set(xscale="log", xlim=(false_rates[0], 1), ylim=(0, 1.01))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}%"))
    axes.legend(loc="best")
    return figure


IDENTIFICATION_LABELS = "mated: a face and its own person", "non-mated: a face and its best impostor match"
VERIFICATION_LABELS = "genuine pairs", "impostor pairs"


def plot_similarities(
    genuine: np.ndarray,
    impostor: np.ndarray,
    threshold: float,
    title: str,
    labels: tuple[str, str] = IDENTIFICATION_LABELS,
) -> Figure:
    """Plot histograms of genuine (m,) and impostor (k,) similarities, with a threshold."""
    figure, axes = _make_axes(title, "similarity (cosine)", "fraction of the scores")
    finite = genuine[np.isfinite(genuine)]
    values = np.concatenate([finite, impostor, [threshold]])
    bins = np.linspace(values.min() - 0.01, values.max() + 0.01, 51).tolist()
    for scores, color, label in ((finite, _COLORS[0], labels[0]), (impostor, _COLORS[1], labels[1])):
        if len(scores):
            weights = np.full(len(scores), 1 / len(scores))
            axes.hist(scores, bins, weights=weights, color=color, alpha=0.6, label=f"{label} ({len(scores)})")
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold: {threshold:.4f}")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="upper left")
    return figure


def plot_reliability(diagram: ReliabilityDiagram, title: str) -> Figure:
    """Plot accuracy with intervals over confidence, and the diagonal of perfect calibration."""
    figure, axes = _make_axes(title, "confidence of the match", "fraction of correct matches")
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", label="perfectly calibrated")
    intervals = np.stack([diagram.accuracy - diagram.low, diagram.high - diagram.accuracy])
    axes.errorbar(
        diagram.confidence, diagram.accuracy, intervals, color=_COLORS[0], marker="o", capsize=3, label="measured"
    )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="upper left")
    return figure


def plot_landmark_error(limits: np.ndarray, fractions: Mapping[str, np.ndarray], failure: float, title: str) -> Figure:
    """Plot the cumulative fraction (k,) of faces over landmark error (k,), by normalization."""
    figure, axes = _make_axes(title, "landmark error", "fraction of the detected faces with at most this error")
    for (name, values), color in zip(fractions.items(), _COLORS, strict=False):
        axes.plot(limits, values, color=color, label=f"/ {name}")
    axes.axvline(failure, color="black", linestyle="--", label=f"failure: above {failure:.0%}")
    axes.set(xlim=(0, limits[-1]), ylim=(0, 1.01))
    axes.xaxis.set_major_locator(MultipleLocator(0.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="lower right")
    return figure


def _make_axes(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.3)
    return figure, axes


def plot_conditions(conditions: Mapping[str, Mapping[str, float]]) -> Figure:
    """Plot AP, landmark error and rank-1 of the faces by condition, as a bar each with its value."""
    figure = Figure(figsize=(9, 1.2 + 0.4 * max(1, len(conditions))), layout="constrained")
    names = [f"{name.replace('_', ' ')} ({values['faces']:.0f})" for name, values in conditions.items()]
    titles = {"ap50": "AP at IoU 0.5", "nme": "landmark error / face size", "rank1": "rank-1"}
    for number, (metric, title) in enumerate(titles.items(), start=1):
        axes = figure.add_subplot(1, 3, number)
        values = [each.get(metric, 0.0) for each in conditions.values()]
        bars = axes.barh(names if number == 1 else range(len(names)), values, color=_COLORS[0])
        axes.bar_label(bars, [f"{each[metric]:.3f}" if metric in each else "–" for each in conditions.values()])
        axes.set_title(title, fontsize=11)
        axes.margins(x=0.25)
        axes.invert_yaxis()
        if number > 1:
            axes.set_yticks([])
    return figure
