"""The MLflow run of a stage, as a context manager; failures of MLflow never stop the stage."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from onelook.experiment.mlflow_run import MlflowRun
from onelook.experiment.mlflow_store import open_store
from onelook.interrupts import Terminated, raise_on_sigterm
from onelook.settings import Settings
from onelook.workspace import project_root

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class StageRun:
    """A stage's run in MLflow.

    If MLflow cannot record, for instance because the disk is full, one warning is logged. The stage then goes on
    without a record.

    Attributes:
        records_people: whether photos and names of people may be logged (`tracking.pictures`).
    """

    def __init__(self, records_people: bool) -> None:
        self.records_people = records_people
        self._record: MlflowRun | None = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics; with `step`, an epoch, as points of a curve.

        Raises:
            TypeError: a value is not a number.
        """
        for name, value in metrics.items():
            if not isinstance(value, Real):
                raise TypeError(f"metric {name}: {value!r} is not a number")
        self._attempt(lambda record: record.log_metrics({name: float(value) for name, value in metrics.items()}, step))

    def log_artifact(self, path: Path, folder: str | None = None, *, shows_people: bool = False) -> None:
        """Log a file or a folder, below `folder`; a folder goes below its own name by default.

        What shows people is left out, unless the settings allow it.

        Raises:
            FileNotFoundError: `path` does not exist.
        """
        path.stat()
        if self.records_people or not shows_people:
            self._attempt(lambda record: record.log_artifact(path, folder))

    def log_pyfunc(self, script: Path, artifacts: Mapping[str, Path], name: str) -> None:
        """Log a model for `mlflow.pyfunc.load_model`, see `onelook.experiment.pyfunc_model.log_pyfunc`.

        Raises:
            FileNotFoundError: the script or one of the folders does not exist.
        """
        for path in (script, *artifacts.values()):
            path.stat()
        self._attempt(lambda record: record.log_pyfunc(script, artifacts, name))

    def _begin(self, stage: str, settings: Settings, inputs: Sequence[Path], device: "torch.device | None") -> None:
        with self._suppress_errors():
            self._record = MlflowRun(open_store(project_root(Path.cwd())), stage, device)
            self._record.start(settings, inputs)

    def _attempt(self, action: Callable[[MlflowRun], None]) -> None:
        if self._record is not None:
            with self._suppress_errors():
                action(self._record)

    @contextmanager
    def _suppress_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._record = None
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            logger.warning("MLflow lacks this run or a part of it (%s); the stage goes on", reason)


@contextmanager
def stage_run(
    name: str,
    settings: Settings,
    *,
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    device: "torch.device | None" = None,
) -> Iterator[StageRun]:
    """Record the body as a run of the stage `name`.

    The run ends as FINISHED, as FAILED after an exception, or as KILLED after SIGTERM or Ctrl-C.

    Args:
        name: name of the stage.
        settings: settings of the run, logged as parameters.
        inputs: files and folders that the stage reads; the runs that wrote them are found by content.
        outputs: files and folders that are complete when the body ends.
        device: that the stage computes on, logged as a tag; None: the CPU.
    """
    run = StageRun(settings.tracking.pictures)
    with raise_on_sigterm():
        try:
            run._begin(name, settings, inputs, device)
            yield run
        except BaseException as error:
            killed = isinstance(error, KeyboardInterrupt | Terminated)
            run._attempt(lambda record: record.close("KILLED" if killed else "FAILED"))
            raise
        run._attempt(lambda record: record.finish(outputs))
