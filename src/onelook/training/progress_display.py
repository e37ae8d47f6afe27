"""Progress display of a training run."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from onelook.training.callbacks import Metrics


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
        self._counts = False

    def __enter__(self) -> "ProgressDisplay":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_step_end(self, epoch: int, step: int) -> None:
        """Advance the bar to `step` finished steps of `epoch`, counted from 1."""
        completed = (epoch - 1) * self._steps_per_epoch + step
        if not self._counts:  # a resumed run has not just done all steps before: they say nothing about the time left
            self._progress.reset(self._task, completed=completed - 1)
            self._counts = True
        self._progress.update(
            self._task,
            completed=completed,
            description=f"epoch {epoch}/{self._epochs}",
        )

    def on_epoch_end(self, epoch: int, metrics: Metrics) -> None:
        """Print the losses and metrics of an epoch, counted from 1, without the task weights."""
        shown = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items() if not name.startswith("weight."))
        self._progress.console.print(f"epoch {epoch}/{self._epochs}  {shown}")
