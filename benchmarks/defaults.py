"""Justify the defaults.

Train each setting's choices alike and compare on the validation people.

    python benchmarks/defaults.py --data ../shared/data [--jobs 2]

One setting at a time differs from the default; loss and sampling differ together. The default is trained three times
to show the variance. Missing trainings run as DVC experiments (`make ui` compares them). The tables in
docs/defaults.md are rewritten. No test split is used.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from dvc_experiments import Kind, history, run_experiments
from study_settings import common

DOCUMENT = Path("docs/defaults.md")
BEGIN, END = "<!-- made by benchmarks/defaults.py -->", "<!-- end -->"
REPEATS = 3  # of the default
DEFAULT = "both"  # as the hypothesis names it, which trains the same
LOSSES = ("arcface", "cosface")
SAMPLINGS = ("warp", "roi", "center")
FIGURES = {"ap50": "AP .5", "rank1": "rank-1", "dir_fpir10": "DIR at 10 % FPIR"}
BALANCE, MAPS = "task weights (`train.task_weighting`)", "fused maps (`model.embedding.strides`)"
PREDICTED = "predicted landmarks in the last epoch (`train.augment.predicted_landmark_fraction`)"
FACES = "single faces beside the scenes (`train.faces`)"
CHOSEN = {BALANCE: "fixed", MAPS: "2, 4, 8, 16", PREDICTED: "0.8", FACES: "none: the scenes' own faces"}
# Each knob's other choices, and what they change.
OTHERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    BALANCE: {"learned": ("train.task_weighting=learned",)},
    MAPS: {
        "4, 8, 16": ("model.embedding.strides=[4,8,16]",),
        "8, 16": ("model.embedding.strides=[8,16]",),
    },
    PREDICTED: {"0": ("train.augment.predicted_landmark_fraction=0",)},
    FACES: {
        "48 a step, each face once": ("train.faces.batch_size=48", "train.faces.labeled_fraction=1"),
        "48 a step, 4 of a person": (
            "train.faces.batch_size=48",
            "train.faces.labeled_fraction=1",
            "train.faces.images_per_identity=4",
        ),
    },
}


def main() -> None:
    """Train, read the validation metrics and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and weights/")
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, a thread each")
    arguments = parser.parse_args()
    shared = common(arguments.data)
    default = Kind(DEFAULT, shared, (), REPEATS)
    sweep = {
        (loss, sampling): Kind(
            f"{loss}-{sampling}", shared, (f"train.identity.loss={loss}", f"model.embedding.sampling={sampling}"), 1
        )
        for loss in LOSSES
        for sampling in SAMPLINGS
    }
    sweep[LOSSES[0], SAMPLINGS[0]] = default
    choices = {
        (knob, choice): Kind(_name(knob, choice), shared, changes, 1)
        for knob, others in OTHERS.items()
        for choice, changes in others.items()
    }
    run_experiments([*sweep.values(), *choices.values()], arguments.jobs)
    text = "\n\n".join([sweep_table(sweep), *(knob_table(knob, default, choices) for knob in OTHERS)])
    print(text)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def sweep_table(sweep: Mapping[tuple[str, str], Kind]) -> str:
    """Return a table of losses by samplings: rank-1 and DIR at 10 % FPIR."""
    lines = ["### Identity loss and sampling", "", f"| rank-1 / DIR at 10 % FPIR | {' | '.join(SAMPLINGS)} |"]
    lines.append("|---" * (1 + len(SAMPLINGS)) + "|")
    for loss in LOSSES:
        cells = [" / ".join(shown(sweep[loss, sampling])[1:]) for sampling in SAMPLINGS]
        lines.append(f"| {loss} | {' | '.join(cells)} |")
    return "\n".join(lines)


def knob_table(knob: str, default: Kind, choices: Mapping[tuple[str, str], Kind]) -> str:
    """Return a table of the default and the other choices of a setting, a row each."""
    lines = [f"### {knob[0].upper()}{knob[1:]}", "", f"| choice | {' | '.join(FIGURES.values())} |"]
    lines.append("|---" * (1 + len(FIGURES)) + "|")
    lines.append(f"| {CHOSEN[knob]} (default) | {' | '.join(shown(default))} |")
    lines += [f"| {choice} | {' | '.join(shown(kind))} |" for (own, choice), kind in choices.items() if own == knob]
    return "\n".join(lines)


def shown(kind: Kind) -> list[str]:
    """Format each metric of the best epoch.

    Mean with lowest and highest repeat, or one training's value.
    """
    best = [max(history(kind.experiment(i)), key=lambda row: row["selection_metric"]) for i in range(kind.repeats)]
    return [_cell([row[name] for row in best]) for name in FIGURES]


def _cell(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def _name(knob: str, choice: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in f"{knob.split('(')[0]} {choice}").split()
    return "-".join(word.lower() for word in words)


if __name__ == "__main__":
    main()
