"""MLflow records of a stage: a child run below the parent run of the `dvc repro` or experiment.

Parent and child carry the settings, the commit and their process. At its end a stage copies its metrics to the parent,
and also those of the stages that its inputs came from. Parents are therefore comparable even if DVC skipped a stage.
"""

import getpass
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from onelook.data.manifest import MANIFEST
from onelook.device import describe_device
from onelook.experiment.gpu_metrics import SYSTEM_PREFIX, start_gpu_monitor
from onelook.experiment.lineage import content_md5, find_producer, iterate_ancestors
from onelook.experiment.mlflow_store import MlflowStore
from onelook.experiment.process_identity import Process, current_process, find_dvc_process
from onelook.experiment.pyfunc_model import log_pyfunc
from onelook.settings import Settings

if TYPE_CHECKING:
    import torch

MAX_PARAM_LENGTH = 6000  # MLflow's limit
MAX_PARAMS_PER_CALL = 100  # MLflow's limit


class MlflowRun:
    """The child and the parent run of a stage; errors of MLflow are passed on."""

    def __init__(self, store: MlflowStore, stage: str, device: "torch.device | None") -> None:
        self.store = store
        self.stage = stage
        self.device = device
        self.child_id = ""
        self.parent_id = ""
        self._parent_failed = False
        self._gpu_monitor: Any | None = None

    def start(self, settings: Settings, inputs: Sequence[Path]) -> None:
        """Open the child below its parent; log settings, commit, device and the producers of the inputs."""
        mark_killed_runs(self.store)
        tags = _source_tags() | {"device": "cpu" if self.device is None else describe_device(self.device)}
        self._find_or_create_parent(tags)
        tags |= {"mlflow.parentRunId": self.parent_id, "stage": self.stage, "process": str(current_process())}
        run = self.store.client.create_run(self.store.experiment_id, tags=tags, run_name=self.stage)
        self.child_id = run.info.run_id
        self._log_settings(settings)
        for path in inputs:
            if path.exists():  # a missing input is reported by the stage
                self._tag_input(path)
        self._gpu_monitor = start_gpu_monitor(self.store, self.child_id, self.device)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log metrics to the child."""
        self._log_metrics(self.child_id, metrics, step or 0)

    def log_artifact(self, path: Path, folder: str | None) -> None:
        """Log a file, or a folder below its own name, to the child."""
        if path.is_dir():
            self.store.client.log_artifacts(self.child_id, str(path), folder or path.name)
        else:
            self.store.client.log_artifact(self.child_id, str(path), folder)

    def log_pyfunc(self, script: Path, artifacts: Mapping[str, Path], name: str) -> None:
        """Log a pyfunc model to the child, see `log_pyfunc`; the parent has it as an output, too."""
        from mlflow.entities import LoggedModelOutput

        logged = log_pyfunc(self.store, self.child_id, script, artifacts, name)
        self.store.client.log_outputs(self.parent_id, [LoggedModelOutput(logged.model_id, step=0)])

    def finish(self, outputs: Sequence[Path]) -> None:
        """Tag the outputs by content, copy the metrics to the parent, and end both runs."""
        for path in outputs:
            md5 = content_md5(path)
            self._tag(self.child_id, f"output.{md5}", path.as_posix())
            self._tag(self.parent_id, f"md5.{_tag_name(path.name)}", md5)
        self._copy_metrics()
        self.close("FINISHED")

    def close(self, status: str) -> None:
        """End the child with `status`; a parent with a failed stage stays failed."""
        if self._gpu_monitor is not None:
            self._gpu_monitor.finish()
        self.store.client.set_terminated(self.child_id, status)
        self.store.client.set_terminated(self.parent_id, "FAILED" if self._parent_failed else status)

    def _find_or_create_parent(self, tags: dict[str, str]) -> None:
        client = self.store.client
        dvc = find_dvc_process()
        owner = dvc or current_process()
        run = _find_parent(self.store, owner)
        if run:
            self._parent_failed = run.info.status == "FAILED"
            client.update_run(run.info.run_id, "RUNNING")
            self._tag(run.info.run_id, "device", tags["device"])
        else:
            name = os.environ.get("DVC_EXP_NAME") or ("repro" if dvc else f"{self.stage} by hand")
            run = client.create_run(self.store.experiment_id, tags=tags | {"pipeline": str(owner)}, run_name=name)
        self.parent_id = run.info.run_id

    def _log_settings(self, settings: Settings) -> None:
        tree = settings.model_dump(mode="json")
        self._log_params(self.child_id, tree)
        if not self.store.client.get_run(self.parent_id).data.params:
            self._log_params(self.parent_id, tree)
            self.store.client.log_text(self.parent_id, yaml.safe_dump(tree, sort_keys=False), "params.yaml")

    def _log_params(self, run_id: str, tree: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(key, str(value)[:MAX_PARAM_LENGTH]) for key, value in flatten_keys(tree).items()]
        for start in range(0, len(params), MAX_PARAMS_PER_CALL):
            self.store.client.log_batch(run_id, params=params[start : start + MAX_PARAMS_PER_CALL])

    def _log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.store.client.log_batch(run_id, metrics=[Metric(key, value, now, step) for key, value in metrics.items()])

    def _tag_input(self, path: Path) -> None:
        md5 = content_md5(path)
        self._tag(self.child_id, f"input.{md5}", path.as_posix())
        self._tag(self.parent_id, f"md5.{_tag_name(path.name)}", md5)
        producer = find_producer(self.store, md5)
        if producer:
            self._tag(self.child_id, f"origin.{md5}", producer.info.run_id)
        if (path / MANIFEST).is_file():
            self._log_dataset(path, md5)

    def _log_dataset(self, path: Path, md5: str) -> None:
        """Log a data folder as a dataset input of child and parent."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": path.as_posix()})
        dataset = Dataset(path.name, md5, source_type="local", source=source)
        for run_id in (self.child_id, self.parent_id):
            tags = [InputTag("mlflow.data.context", self.stage)]
            self.store.client.log_inputs(run_id, [DatasetInput(dataset, tags)])

    def _copy_metrics(self) -> None:
        child = self.store.client.get_run(self.child_id)
        metrics: dict[str, float] = {}
        for run in (child, *iterate_ancestors(self.store, child)):
            for key, value in run.data.metrics.items():
                if not key.startswith(SYSTEM_PREFIX):
                    metrics.setdefault(f"{run.data.tags['stage']}/{key}", value)
        logged = self.store.client.get_run(self.parent_id).data.metrics
        self._log_metrics(self.parent_id, {key: value for key, value in metrics.items() if logged.get(key) != value})

    def _tag(self, run_id: str, key: str, value: str) -> None:
        self.store.client.set_tag(run_id, key, value)


def mark_killed_runs(store: MlflowStore) -> None:
    """End as KILLED the running runs whose process has ended, for instance by kill -9 or a power cut."""
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'"):
        owner = run.data.tags.get("process") or run.data.tags.get("pipeline")
        if owner and Process.parse(owner).has_exited():
            store.client.set_terminated(run.info.run_id, "KILLED")


def flatten_keys(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested sections to one level with dotted keys, as in `dvc exp run -S`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten_keys(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _find_parent(store: MlflowStore, owner: Process) -> Any | None:
    pattern = f"{owner.host}:{owner.pid}:%".replace("'", "")
    for run in store.client.search_runs([store.experiment_id], f"tags.pipeline LIKE '{pattern}'"):
        if Process.parse(run.data.tags["pipeline"]).is_same(owner):
            return run
    return None


def _source_tags() -> dict[str, str]:
    """Return script, user, commit and DVC experiment under the tag names that MLflow's pages show."""
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


def _tag_name(name: str) -> str:
    """Replace the characters that a tag name of MLflow may not have."""
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
