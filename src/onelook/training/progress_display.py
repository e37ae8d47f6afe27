"""What a training run shows while it runs, and leaves behind when it is done."""

import csv
import io
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from onelook.files import write_text


class ProgressDisplay:
    """A progress bar for the epoch under way, and a line for every one done."""

    def __init__(self, epochs: int, steps: int) -> None:
        self._epochs = epochs
        self._steps = steps
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("training", total=epochs * steps)

    def __enter__(self) -> "ProgressDisplay":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step_done(self, epoch: int, steps: int) -> None:
        """Move the bar to `steps` of `epoch`, counted from 1."""
        self._progress.update(
            self._task, completed=(epoch - 1) * self._steps + steps, description=f"epoch {epoch}/{self._epochs}"
        )

    def epoch_done(self, epoch: int, figures: dict[str, float]) -> None:
        """Print the figures of an epoch, counted from 1."""
        shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items() if not name.startswith("weight."))
        self._progress.console.print(f"epoch {epoch}/{self._epochs}  {shown}")


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write a row per epoch as CSV, numbers with six digits after the point."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({name: value if name == "epoch" else f"{value:.6f}" for name, value in row.items()})
    write_text(path, table.getvalue())
