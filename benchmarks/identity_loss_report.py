"""Tables and picture of the identity losses; a helper of identity_losses.py."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from identity_loss_data import Features
from identity_loss_training import FAR, Training, Variant, load
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from pair_metrics import RESAMPLES, SEED, Metric, Pairs, correct_by_fold, to_verification_pairs

from onelook.evaluation.bootstrap import bootstrap_intervals

BASE = "normalized"
"""The loss that the others are compared with: the margin family without a margin."""
PEOPLE = {"lfw": "LFW", "celeba": "CelebA"}
METRICS = {"accuracy": "accuracy", "tar": f"TAR at {FAR:.0%} FAR"}


class Results:
    """Finished trainings, and the learning rates chosen by them.

    Args:
        folder: of the results.
        variants: by name.
        tuning: short trainings with each learning rate.
        pairs: those that all are measured on.
    """

    def __init__(self, folder: Path, variants: Mapping[str, Variant], tuning: Sequence[Training], pairs: Pairs) -> None:
        self.folder, self.variants, self.tuning, self.pairs = folder, variants, tuning, pairs

    def load(self, training: Training) -> dict[str, Any]:
        """Return the results of a training."""
        return load(training, self.folder)

    def validation(self, name: str) -> dict[float, float]:
        """Return the TAR on CelebA's people by learning rate."""
        return {each.rate: self.load(each)["validation_tar"] for each in self.tuning if each.variant == name}

    def best_rate(self, name: str) -> float:
        """Return the learning rate with the highest TAR on CelebA's people."""
        validation = self.validation(name)
        return max(validation, key=lambda rate: validation[rate])

    def intervals(self, trainings: Sequence[Training]) -> dict[str, Metric]:
        """Return metrics with intervals over people of the pairs and over repeats.

        The keys are NAME:METRIC, and NAME-BASE:METRIC for the difference to the base over the same resamples.

        Args:
            trainings: of one training set and one length.
        """
        repeats = 1 + max(each.repeat for each in trainings)
        measures = {(each.variant, each.repeat): self._measure(each) for each in trainings}
        people = 1 + int(self.pairs.people.max())

        def metrics(weights: np.ndarray) -> dict[str, float]:
            of_person, of_repeat = weights[:people], weights[people:] / weights[people:].sum()
            values: dict[str, float] = {}
            for (name, repeat), measure in measures.items():
                for metric, value in measure(of_person).items():
                    key = f"{name}:{metric}"
                    values[key] = values.get(key, 0.0) + of_repeat[repeat] * value
            for key in list(values):
                name, metric = key.split(":")
                if name != BASE and f"{BASE}:{metric}" in values:
                    values[f"{name}-{BASE}:{metric}"] = values[key] - values[f"{BASE}:{metric}"]
            return values

        known = bootstrap_intervals(metrics, (people, repeats), RESAMPLES, SEED)
        names = [key for key in known if not key.endswith(("_low", "_high"))]
        return {key: Metric(known[key], known[f"{key}_low"], known[f"{key}_high"]) for key in names}

    def curves(self, trainings: Sequence[Training], name: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return steps (k,) and a metric (repeats, k) of the trainings of a variant."""
        curves = [self.load(each)["curve"] for each in trainings if each.variant == name]
        steps = np.array([point["step"] for point in curves[0]])
        return steps, np.array([[point[metric] for point in curve] for curve in curves])

    def _measure(self, training: Training) -> Callable[[np.ndarray], dict[str, float]]:
        """Return a function of person weights that computes accuracy and TAR."""
        pairs, scores = self.pairs, np.array(self.load(training)["scores"])
        is_correct = correct_by_fold(scores, pairs.same, pairs.folds)
        verification = to_verification_pairs(scores, pairs)

        def measure(weights: np.ndarray) -> dict[str, float]:
            of_person = weights[pairs.people]
            of_pair = np.where(pairs.same, of_person[:, 0], of_person.prod(axis=1))
            return {
                "accuracy": float(of_pair @ is_correct / of_pair.sum()),
                "tar": verification.tar_at_far(FAR, weights),
            }

        return measure


def write_tables(results: Results, trainings: Sequence[Training], features: Mapping[str, Features]) -> str:
    """Return all tables as Markdown."""
    steps = max(each.steps for each in trainings)
    counts = [
        f"{PEOPLE[name]}: {1 + int(features[name].people.max())} people, {len(features[name].people)} photos"
        for name in PEOPLE
    ]
    longest = {name: [each for each in trainings if (each.people, each.steps) == (name, steps)] for name in PEOPLE}
    short = [each for each in trainings if each.steps < steps]
    return "\n\n".join(
        [
            f"{'; '.join(counts)}. {steps} steps.",
            write_metrics(results, longest),
            "Against normalized softmax, in points:",
            write_differences(results, longest),
            f"Accuracy on the test pairs during the {steps} steps on LFW's people, and after a training of "
            f"{short[0].steps} steps:",
            write_progress(results, longest["lfw"], short),
            f"TAR at {FAR:.0%} FAR on CelebA's people after {short[0].steps} steps on LFW's, by learning rate; "
            "the best one is used:",
            write_rates(results),
        ]
    )


def write_metrics(results: Results, longest: Mapping[str, Sequence[Training]]) -> str:
    """Return a row a loss: metrics with intervals, and the range of the repeats."""
    intervals = {name: results.intervals(trainings) for name, trainings in longest.items()}
    heads = [f"{PEOPLE[name]}: {title}" for name in longest for title in METRICS.values()]
    lines = [_row("loss", *heads, "LFW: TAR of the repeats"), _rule(2 + len(heads))]
    for variant, settings in results.variants.items():
        cells = [_cell(intervals[name].get(f"{variant}:{metric}")) for name in longest for metric in METRICS]
        tars = results.curves(longest["lfw"], variant, "tar")[1][:, -1]
        lines.append(_row(settings.label, *cells, ", ".join(f"{tar:.3f}" for tar in sorted(tars))))
    return "\n".join(lines)


def write_differences(results: Results, longest: Mapping[str, Sequence[Training]]) -> str:
    """Return a row a loss: its differences to the base in points."""
    intervals = {name: results.intervals(trainings) for name, trainings in longest.items()}
    heads = [f"{PEOPLE[name]}: {title}" for name in longest for title in METRICS.values()]
    lines = [_row("loss", *heads), _rule(1 + len(heads))]
    for variant, settings in results.variants.items():
        if variant != BASE:
            keys = [(name, f"{variant}-{BASE}:{metric}") for name in longest for metric in METRICS]
            lines.append(_row(settings.label, *(_points(intervals[name].get(key)) for name, key in keys)))
    return "\n".join(lines)


def write_progress(results: Results, trainings: Sequence[Training], short: Sequence[Training]) -> str:
    """Return a row a loss: mean accuracy of the repeats during the training, and after a short one."""
    steps = results.curves(trainings, BASE, "accuracy")[0]
    lines = [_row("loss", *map(str, steps), f"short, {short[0].steps}"), _rule(2 + len(steps))]
    trained_short = {each.variant for each in short}
    for variant, settings in results.variants.items():
        means = results.curves(trainings, variant, "accuracy")[1].mean(axis=0)
        ended = results.curves(short, variant, "accuracy")[1][:, -1].mean() if variant in trained_short else None
        lines.append(_row(settings.label, *(f"{mean:.3f}" for mean in means), "–" if ended is None else f"{ended:.3f}"))
    return "\n".join(lines)


def write_rates(results: Results) -> str:
    """Return a row a loss: the metric by learning rate, the best one bold."""
    rates = list(results.validation(BASE))
    lines = [_row("loss", *(f"{rate:g}" for rate in rates)), _rule(1 + len(rates))]
    for variant, settings in results.variants.items():
        best, validation = results.best_rate(variant), results.validation(variant)
        cells = [f"**{tar:.3f}**" if rate == best else f"{tar:.3f}" for rate, tar in validation.items()]
        lines.append(_row(settings.label, *cells))
    return "\n".join(lines)


def draw(results: Results, trainings: Sequence[Training], names: Sequence[str]) -> Figure:
    """Draw a panel a loss: its training loss and its accuracy, beside that of the base."""
    steps = max(each.steps for each in trainings)
    own = [each for each in trainings if (each.people, each.steps) == ("lfw", steps)]
    figure = Figure(figsize=(11, 8.4), layout="constrained")
    panels = figure.subplots(3, 3, sharex=True, sharey=True).flat
    base_at, base = results.curves(own, BASE, "accuracy")
    for axes, name in zip(panels, names, strict=True):
        at, accuracy = results.curves(own, name, "accuracy")
        axes.plot(base_at, base.mean(axis=0), color="0.6", label="accuracy, normalized softmax")
        axes.fill_between(at, accuracy.min(axis=0), accuracy.max(axis=0), color="#0072b2", alpha=0.2)
        axes.plot(at, accuracy.mean(axis=0), color="#0072b2", marker=".", label="accuracy on the test pairs")
        losses = results.curves(own, name, "loss")[1].mean(axis=0)
        beside = axes.twinx()
        beside.plot(at, losses, color="#d55e00", linestyle="--", label="training loss (right)")
        beside.set_ylim(0, 1.05 * losses.max())
        beside.tick_params(labelsize=8, colors="#d55e00")
        axes.set_title(results.variants[name].label, fontsize=11)
        axes.grid(alpha=0.3)
        if name == names[0]:
            handles = [*axes.get_legend_handles_labels()[0], *beside.get_legend_handles_labels()[0]]
            axes.legend(handles=handles, fontsize=8, loc="lower right")
    axes.set_xscale("log")
    ticks = [int(step) for step in base_at if step in (base_at[0], base_at[2], base_at[-1])]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda step, _: ""))
    figure.supxlabel("training steps", fontsize=11)
    figure.supylabel("accuracy on LFW's test pairs; band: three trainings", fontsize=11)
    return figure


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|---" * columns + "|"


def _cell(metric: Metric | None) -> str:
    return "–" if metric is None else f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def _points(metric: Metric | None) -> str:
    if metric is None:
        return "–"
    value, low, high = (100 * each for each in metric)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
