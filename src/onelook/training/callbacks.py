"""Callbacks of a training run, and the CSV file of its history."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onelook.files import write_text
from onelook.model.joint_network import JointNetwork

Metrics = dict[str, float]


@dataclass
class Callbacks:
    """Functions that the training loop calls.

    Attributes:
        validate: returns metrics of the network; the best epoch has the highest `selection_metric`.
        on_epoch_end: called with the epoch, counted from 1, and its losses and metrics.
        on_step_end: called with the current epoch, counted from 1, and the number of finished steps in it.
    """

    validate: Callable[[JointNetwork], Metrics]
    on_epoch_end: Callable[[int, Metrics], None] = lambda epoch, metrics: None
    on_step_end: Callable[[int, int], None] = lambda epoch, step: None


def write_history(path: Path, history: list[Metrics]) -> None:
    """Write a row per epoch as CSV, with six decimals."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({name: value if name == "epoch" else f"{value:.6f}" for name, value in row.items()})
    write_text(path, table.getvalue(), private=False)
