"""Run kinds of training as queued DVC experiments and read their results.

A helper of the studies.

An experiment's name holds its kind, its repeat and a digest of all its settings. One that exists is not run again, so
an interrupted study continues. `dvc exp show` lists them; `make ui` compares their curves.
"""

import csv
import hashlib
import io
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dvc.api import DVCFileSystem
from rich.console import Console
from rich.progress import Progress

POLL = 10.0  # seconds


@dataclass(frozen=True)
class Kind:
    """A kind of training.

    Attributes:
        name: lower-case words joined by hyphens.
        common: what differs from params.yaml in all kinds of a study, as `key=value`.
        changes: what differs in this kind.
        repeats: how often it is trained.
    """

    name: str
    common: tuple[str, ...]
    changes: tuple[str, ...]
    repeats: int

    def command(self, repeat: int) -> list[str]:
        """Return the arguments of `dvc` that train it, up to the stage train."""
        settings = [*self.common, *self.changes, f"train.seed_offset={repeat}"]
        name = self.experiment(repeat)
        return ["exp", "run", "--queue", "--name", name, *(x for s in settings for x in ("-S", s)), "train"]

    @staticmethod
    def format_settings(settings: Sequence[str]) -> str:
        """Format settings as typed, with paths relative to a checkout beside the data."""
        typed = [re.sub(r"(?<=[=:])/.*/(?=lfw$|faces$|weights/)", "../shared/data/", each) for each in settings]
        return " ".join(f"-S {shlex.quote(each)}" for each in typed)

    def experiment(self, repeat: int) -> str:
        """Return the name of the experiment."""
        text = Path("params.yaml").read_text(encoding="utf-8") + "\n".join(self.common + self.changes)
        return f"{self.name}-{repeat}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def format_commands(kinds: Mapping[str, Kind]) -> str:
    """Return the command behind each kind, by its label.

    With the common settings once.
    """
    kind = next(iter(kinds.values()))
    repeats = "0" if kind.repeats == 1 else f"0 to {max(each.repeats for each in kinds.values()) - 1}"
    lines = [f"`COMMON` stands for `{kind.format_settings(kind.common)}`; `train.seed_offset` is {repeats}.", ""]
    for name, each in kinds.items():
        own = each.format_settings((*each.changes, "train.seed_offset=0"))
        lines.append(f"- {name}: `dvc exp run COMMON {own} train`")
    return "\n".join(lines)


def run_experiments(kinds: Sequence[Kind], jobs: int) -> None:
    """Train what is not trained yet, `jobs` at a time.

    After Ctrl-C the same command continues.

    Raises:
        SystemExit: an experiment failed; its log is named.
    """
    there = set(_dvc("exp", "list", "--name-only").split())
    # Kinds take turns: those that prepare other scenes do so side by side, and nobody prepares the same twice.
    most = max(kind.repeats for kind in kinds)
    wanted = [(kind, repeat) for repeat in range(most) for kind in kinds if repeat < kind.repeats]
    missing = [(kind, repeat) for kind, repeat in wanted if kind.experiment(repeat) not in there]
    if not missing:
        return
    _dvc("queue", "remove", "--all")  # what an interrupted study left
    for kind, repeat in missing:
        _dvc(*kind.command(repeat))
    _dvc("queue", "start", "-j", str(jobs))
    names = {kind.experiment(repeat) for kind, repeat in missing}
    try:
        _wait(names)
    except KeyboardInterrupt:
        _dvc("queue", "stop", "--kill")
        raise


def fetch_model(experiment: str, folder: Path) -> Path:
    """Copy the model folder that an experiment trained into `folder`."""
    return fetch(experiment, "build/model", folder)


def fetch(experiment: str, path: str, folder: Path) -> Path:
    """Copy an output of an experiment.

    E.g. `build/model` to `folder` under the experiment's name.
    """
    place, unfinished = folder / experiment, folder / f".{experiment}"
    if not place.exists():
        shutil.rmtree(unfinished, ignore_errors=True)  # of a copy that broke off
        folder.mkdir(parents=True, exist_ok=True)
        DVCFileSystem(".", rev=experiment).get(f"/{path}", str(unfinished), recursive=True)
        unfinished.rename(place)
    return place


def history(experiment: str) -> list[dict[str, float]]:
    """Return the losses and validation metrics of an experiment, epoch by epoch."""
    text = DVCFileSystem(".", rev=experiment).read_text("/build/training/history.csv")
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def _wait(names: set[str]) -> None:
    """Wait until all of them have run."""
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("experiments", total=len(names))
        while True:
            rows = [line.split() for line in _dvc("queue", "status").splitlines()]
            states = {row[1]: row[-1] for row in rows if len(row) > 2 and row[1] in names}
            failed = [row[0] for row in rows if len(row) > 2 and row[1] in names and row[-1] == "Failed"]
            if failed:
                sys.exit(f"an experiment failed; see `dvc queue logs {failed[0]}`, then run this again")
            done = sum(state == "Success" for state in states.values())
            progress.update(task, completed=done)
            if done == len(names):
                return
            time.sleep(POLL)


def _dvc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"dvc {' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
