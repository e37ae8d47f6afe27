"""Callbacks of a training run, its progress display, and the CSV file of its history."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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


class ProgressDisplay:
    """A progress bar on stderr, with a line of metrics above it for each finished epoch."""

    def __init__(self, epochs: int, steps_per_epoch: int) -> None:
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("training", total=epochs * steps_per_epoch)

    def __enter__(self) -> "ProgressDisplay":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_step_end(self, epoch: int, step: int) -> None:
        """Advance the bar to `step` finished steps of `epoch`, counted from 1."""
        self._progress.update(
            self._task,
            completed=(epoch - 1) * self._steps_per_epoch + step,
            description=f"epoch {epoch}/{self._epochs}",
        )

    def on_epoch_end(self, epoch: int, metrics: Metrics) -> None:
        """Print the losses and metrics of an epoch, counted from 1, without the task weights."""
        shown = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items() if not name.startswith("weight."))
        self._progress.console.print(f"epoch {epoch}/{self._epochs}  {shown}")


def write_history(path: Path, history: list[Metrics]) -> None:
    """Write a row per epoch as CSV, with six decimals."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({name: value if name == "epoch" else f"{value:.6f}" for name, value in row.items()})
    write_text(path, table.getvalue())
