"""A stage's record as the stage sees it: the record can fail, but it cannot make the stage fail."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from types import FrameType
from typing import NoReturn

from onelook.experiment.mlflow_store import connect, project_root
from onelook.experiment.run_record import RunRecord
from onelook.interrupts import Terminated
from onelook.settings import Settings


class StageRun:
    """A stage's run in MLflow.

    Where MLflow cannot record (a locked database, a full disk), one line on stderr says so, once, and the stage goes on
    without a record.
    """

    def __init__(self) -> None:
        self._record: RunRecord | None = None

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record figures; with `step` (an epoch) they become points of a curve.

        Raises:
            TypeError: a value that is not a number.
        """
        for name, value in values.items():
            if not isinstance(value, Real):
                raise TypeError(f"metric {name}: {value!r} is not a number")
        self._attempt(lambda record: record.metrics({name: float(value) for name, value in values.items()}, step))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or a whole folder, into the run, under `folder` (a folder by default under its own name).

        Raises:
            FileNotFoundError: there is nothing at `path`.
        """
        path.stat()
        self._attempt(lambda record: record.artifact(path, folder))

    def pyfunc(self, code: Path, artifacts: Mapping[str, Path], name: str) -> None:
        """Record a model for `mlflow.pyfunc.load_model`: the file that defines it and the folders it reads.

        Raises:
            FileNotFoundError: the file or one of the folders is absent.
        """
        for path in (code, *artifacts.values()):
            path.stat()
        self._attempt(lambda record: record.pyfunc(code, artifacts, name))

    def _begin(self, stage: str, settings: Settings, inputs: Sequence[Path]) -> None:
        with self._tolerating():
            self._record = RunRecord(connect(project_root(Path.cwd())), stage)
            self._record.start(settings, inputs)

    def _attempt(self, action: Callable[[RunRecord], None]) -> None:
        if self._record is not None:
            with self._tolerating():
                action(self._record)

    @contextmanager
    def _tolerating(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._record = None
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            print(f"warning: MLflow lacks this run or a part of it ({reason}); the stage goes on", file=sys.stderr)


@contextmanager
def stage_run(name: str, settings: Settings, *, inputs: Sequence[Path], outputs: Sequence[Path]) -> Iterator[StageRun]:
    """Record the stage `name` while the body runs: FINISHED, FAILED on an exception, KILLED on SIGTERM or Ctrl-C.

    Args:
        inputs: files and folders the stage reads; by their content the runs that made them are found.
        outputs: files and folders the body leaves complete.
    """
    run = StageRun()
    with _sigterm_raises():
        try:
            run._begin(name, settings, inputs)
            yield run
        except BaseException as error:
            killed = isinstance(error, KeyboardInterrupt | Terminated)
            run._attempt(lambda record: record.close("KILLED" if killed else "FAILED"))
            raise
        run._attempt(lambda record: record.finish(outputs))


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(128 + number)
