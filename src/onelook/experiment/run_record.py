"""What MLflow keeps of one stage: a run of its own under the run of the whole `dvc repro` or experiment.

Parent and child carry the settings, the commit and the process they belong to. At its end a stage copies its metrics,
and those of the stages its inputs came from, to the parent: parents compare even when DVC skipped the training.
"""

import getpass
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from onelook.experiment.lineage import ancestors, content_md5, producer
from onelook.experiment.mlflow_store import MlflowStore
from onelook.experiment.process_identity import Process, dvc_process, this_process
from onelook.experiment.pyfunc_model import log_pyfunc
from onelook.settings import Settings

LONGEST_VALUE = 6000  # MLflow's limit for the value of a parameter
LARGEST_BATCH = 100  # MLflow's limit for the parameters of one call


class RunRecord:
    """One stage's run and its parent; every method raises whatever MLflow raises."""

    def __init__(self, store: MlflowStore, stage: str) -> None:
        self.store = store
        self.stage = stage
        self.child = ""
        self.parent = ""
        self._parent_failed = False

    def start(self, settings: Settings, inputs: Sequence[Path]) -> None:
        """Open the child under its parent, with settings, commit and where each input came from."""
        mark_killed(self.store)
        tags = _source_tags()
        self._find_or_create_parent(tags)
        own = tags | {"mlflow.parentRunId": self.parent, "stage": self.stage, "process": str(this_process())}
        run = self.store.client.create_run(self.store.experiment, tags=own, run_name=self.stage)
        self.child = run.info.run_id
        self._log_settings(settings)
        for path in inputs:
            if path.exists():  # a missing input is for the stage to complain of
                self._tag_input(path)

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Add to the child's metrics."""
        self._log_metrics(self.child, values, step or 0)

    def artifact(self, path: Path, folder: str | None) -> None:
        """Copy a file, or a folder under its own name, to the child's artifacts."""
        if path.is_dir():
            self.store.client.log_artifacts(self.child, str(path), folder or path.name)
        else:
            self.store.client.log_artifact(self.child, str(path), folder)

    def pyfunc(self, code: Path, artifacts: Mapping[str, Path], name: str) -> None:
        """Log a pyfunc model to the child, see `log_pyfunc`."""
        log_pyfunc(self.store, self.child, code, artifacts, name)

    def finish(self, outputs: Sequence[Path]) -> None:
        """Tag the outputs by content, copy the metrics to the parent, and close both."""
        for path in outputs:
            md5 = content_md5(path)
            self._tag(self.child, f"output.{md5}", path.as_posix())
            self._tag(self.parent, f"md5.{_plain(path.name)}", md5)
        self._copy_metrics()
        self.close("FINISHED")

    def close(self, status: str) -> None:
        """End the child with `status`; a parent in which any stage failed stays failed."""
        self.store.client.set_terminated(self.child, status)
        self.store.client.set_terminated(self.parent, "FAILED" if self._parent_failed else status)

    def _find_or_create_parent(self, tags: dict[str, str]) -> None:
        client = self.store.client
        dvc = dvc_process()
        owner = dvc or this_process()
        run = _parent_of(self.store, owner)
        if run:
            self._parent_failed = run.info.status == "FAILED"
            client.update_run(run.info.run_id, "RUNNING")
        else:
            name = os.environ.get("DVC_EXP_NAME") or ("repro" if dvc else f"{self.stage} by hand")
            run = client.create_run(self.store.experiment, tags=tags | {"pipeline": str(owner)}, run_name=name)
        self.parent = run.info.run_id

    def _log_settings(self, settings: Settings) -> None:
        tree = settings.model_dump(mode="json")
        self._log_params(self.child, tree)
        known = self.store.client.get_run(self.parent).data.params
        if not known:
            self._log_params(self.parent, tree)
            self.store.client.log_text(self.parent, yaml.safe_dump(tree, sort_keys=False), "params.yaml")

    def _log_params(self, run: str, tree: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in flatten(tree).items()]
        for start in range(0, len(params), LARGEST_BATCH):
            self.store.client.log_batch(run, params=params[start : start + LARGEST_BATCH])

    def _log_metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.store.client.log_batch(run, metrics=[Metric(key, value, now, step) for key, value in values.items()])

    def _tag_input(self, path: Path) -> None:
        md5 = content_md5(path)
        self._tag(self.child, f"input.{md5}", path.as_posix())
        self._tag(self.parent, f"md5.{_plain(path.name)}", md5)
        origin = producer(self.store, md5)
        if origin:
            self._tag(self.child, f"origin.{md5}", origin.info.run_id)

    def _copy_metrics(self) -> None:
        child = self.store.client.get_run(self.child)
        values: dict[str, float] = {}
        for run in (child, *ancestors(self.store, child)):
            for key, value in run.data.metrics.items():
                values.setdefault(f"{run.data.tags['stage']}/{key}", value)
        known = self.store.client.get_run(self.parent).data.metrics
        fresh = {key: value for key, value in values.items() if known.get(key) != value}
        self._log_metrics(self.parent, fresh)

    def _tag(self, run: str, key: str, value: str) -> None:
        self.store.client.set_tag(run, key, value)


def mark_killed(store: MlflowStore) -> None:
    """Close the runs whose process is gone: a kill -9 or a power cut leaves them running for ever."""
    for run in store.client.search_runs([store.experiment], "attributes.status = 'RUNNING'"):
        owner = run.data.tags.get("process") or run.data.tags.get("pipeline")
        if owner and Process.parse(owner).gone():
            store.client.set_terminated(run.info.run_id, "KILLED")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of sections as one level with dotted keys, as `dvc exp run -S` names them."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _parent_of(store: MlflowStore, owner: Process) -> Any | None:
    pattern = f"{owner.host}:{owner.pid}:%".replace("'", "")
    for run in store.client.search_runs([store.experiment], f"tags.pipeline LIKE '{pattern}'"):
        if Process.parse(run.data.tags["pipeline"]).same(owner):
            return run
    return None


def _source_tags() -> dict[str, str]:
    """Where the run's code came from, under the names that MLflow's pages show."""
    tags = {"mlflow.source.name": sys.argv[0], "mlflow.source.type": "LOCAL", "mlflow.user": getpass.getuser()}
    commit = _git("rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        tags["git.dirty"] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
