"""Parent and child runs in a real MLflow store."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from onelook.experiment.lineage import content_md5
from onelook.experiment.stage_run import stage_run
from onelook.settings import Settings

Runs = Callable[[], list[Any]]


def _script(body: str, settings_file: Path) -> list[str]:
    """Return a Python command that runs `body` with `stage_run` and `settings` defined."""
    head = f"""
        import os, signal, sys, time
        from pathlib import Path
        from onelook.settings import load_settings
        from onelook.experiment.stage_run import stage_run
        from onelook.logs import configure_logging
        configure_logging()
        settings = load_settings(Path({str(settings_file)!r}))
    """
    return [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(body)]


def _by_name(runs: list[Any]) -> dict[str, Any]:
    return {run.data.tags.get("stage", "parent"): run for run in runs}


def test_a_stage_is_a_child_run_that_ends_as_finished(settings: Settings, workspace: Path, runs: Runs) -> None:
    scenes = workspace / "build" / "scenes"
    with stage_run("prepare", settings, inputs=[], outputs=[scenes]) as run:
        assert {entry.info.status for entry in runs()} == {"RUNNING"}
        scenes.mkdir(parents=True)
        run.log_metrics({"scenes": 3})
    found = _by_name(runs())
    child, parent = found["prepare"], found["parent"]
    assert (child.info.status, parent.info.status) == ("FINISHED", "FINISHED")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert "mlflow.parentRunId" not in parent.data.tags
    assert child.data.metrics == {"scenes": 3.0}
    assert parent.data.metrics == {"prepare/scenes": 3.0}
    assert parent.data.tags["md5.scenes"] == "d41d8cd98f00b204e9800998ecf8427e"  # an empty folder, md5 of nothing


def test_the_device_is_a_tag_and_the_parent_has_that_of_the_last_stage(
    settings: Settings, workspace: Path, runs: Runs
) -> None:
    with stage_run("prepare", settings, inputs=[], outputs=[]):
        assert {run.data.tags["device"] for run in runs()} == {"cpu"}
    with stage_run("evaluate", settings, inputs=[], outputs=[], device=torch.device("mps")):
        pass
    found = _by_name(runs())
    assert [found[name].data.tags["device"] for name in ("prepare", "evaluate", "parent")] == ["cpu", "mps", "mps"]


def test_settings_are_flat_parameters_of_child_and_parent(settings: Settings, workspace: Path, runs: Runs) -> None:
    with stage_run("train", settings, inputs=[], outputs=[]):
        pass
    for run in runs():
        assert run.data.params["base.seed"] == str(settings.base.seed)
        assert run.data.params["train.augment.zoom"] == str(list(settings.train.augment.zoom))
        assert run.data.params["prepare.folder.path"] == settings.prepare.folder.path


def test_a_failure_marks_child_and_parent_and_the_parent_stays_failed(
    settings: Settings, workspace: Path, runs: Runs
) -> None:
    with pytest.raises(ZeroDivisionError), stage_run("train", settings, inputs=[], outputs=[]):
        _ = 1 / 0
    assert {run.info.status for run in runs()} == {"FAILED"}
    with stage_run("index", settings, inputs=[], outputs=[]):
        pass
    found = _by_name(runs())
    assert found["index"].info.status == "FINISHED"
    assert found["parent"].info.status == "FAILED"


def test_sigterm_marks_the_runs_killed(settings: Settings, workspace: Path, runs: Runs) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, stage_run("train", settings, inputs=[], outputs=[]):
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 143
    assert {run.info.status for run in runs()} == {"KILLED"}
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_marks_the_runs_killed(settings: Settings, workspace: Path, runs: Runs) -> None:
    with pytest.raises(KeyboardInterrupt), stage_run("train", settings, inputs=[], outputs=[]):
        raise KeyboardInterrupt
    assert {run.info.status for run in runs()} == {"KILLED"}


def test_runs_of_killed_processes_are_marked_at_the_next_start(
    settings: Settings, project: Path, workspace: Path, runs: Runs
) -> None:
    body = """
        with stage_run("train", settings, inputs=[], outputs=[]):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run(_script(body, project / "params.yaml")).returncode == -signal.SIGKILL
    assert {run.info.status for run in runs()} == {"RUNNING"}
    with stage_run("prepare", settings, inputs=[], outputs=[]):
        statuses = [run.info.status for run in runs()]
    assert statuses == ["KILLED", "KILLED", "RUNNING", "RUNNING"]


def test_the_producer_of_an_input_is_found_by_content(settings: Settings, workspace: Path, runs: Runs) -> None:
    made, used = workspace / "made", workspace / "used"
    with stage_run("prepare", settings, inputs=[], outputs=[made]):
        made.write_text("scenes")
    with stage_run("evaluate", settings, inputs=[], outputs=[used]):
        used.write_text("something else")
    used.write_text("scenes")
    with stage_run("train", settings, inputs=[used], outputs=[]):
        pass
    found = _by_name(runs())
    origins = {value for key, value in found["train"].data.tags.items() if key.startswith("origin.")}
    assert origins == {found["prepare"].info.run_id}


def test_prepared_scenes_are_a_dataset_of_child_and_parent(settings: Settings, workspace: Path, runs: Runs) -> None:
    scenes = workspace / "scenes"
    scenes.mkdir()
    (scenes / "manifest.jsonl").write_text("")
    (workspace / "model").mkdir()
    with stage_run("train", settings, inputs=[scenes, workspace / "model"], outputs=[]):
        pass
    for run in runs():
        (entry,) = run.inputs.dataset_inputs
        assert (entry.dataset.name, entry.dataset.digest) == ("scenes", content_md5(scenes))
        assert {tag.key: tag.value for tag in entry.tags} == {"mlflow.data.context": "train"}


def test_a_failed_stage_is_not_a_producer(settings: Settings, workspace: Path, runs: Runs) -> None:
    made = workspace / "made"
    with pytest.raises(ZeroDivisionError), stage_run("prepare", settings, inputs=[], outputs=[made]):
        made.write_text("half")
        _ = 1 / 0
    with stage_run("train", settings, inputs=[made], outputs=[]):
        pass
    assert not any(key.startswith("origin.") for key in _by_name(runs())["train"].data.tags)


def test_metrics_of_every_ancestor_reach_a_parent_that_ran_only_the_last_stage(
    settings: Settings, project: Path, workspace: Path, runs: Runs
) -> None:
    body = """
        a, b = Path("a"), Path("b")
        with stage_run("prepare", settings, inputs=[], outputs=[a]) as run:
            a.write_text("1")
            run.log_metrics({"scenes": 7.0})
        with stage_run("train", settings, inputs=[a], outputs=[b]) as run:
            b.write_text("2")
            run.log_metrics({"loss": 0.5}, step=1)
            run.log_metrics({"loss": 0.25}, step=2)
    """
    subprocess.run(_script(body, project / "params.yaml"), check=True)
    with stage_run("evaluate", settings, inputs=[workspace / "b"], outputs=[]) as run:
        run.log_metrics({"rank1": 1.0})
    parents = [run for run in runs() if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 2
    assert parents[1].data.metrics == {"prepare/scenes": 7.0, "train/loss": 0.25, "evaluate/rank1": 1.0}


def test_metrics_with_steps_are_a_curve(settings: Settings, workspace: Path, runs: Runs) -> None:
    with stage_run("train", settings, inputs=[], outputs=[]) as run:
        for epoch in (1, 2, 3):
            run.log_metrics({"loss": 1 / epoch}, epoch)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow' / 'mlflow.db'}")
    history = client.get_metric_history(_by_name(runs())["train"].info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_a_metric_must_be_a_number(settings: Settings, workspace: Path) -> None:
    with (
        pytest.raises(TypeError, match="rank1"),
        stage_run("evaluate", settings, inputs=[], outputs=[]) as run,
    ):
        run.log_metrics({"rank1": "0.9"})  # type: ignore[dict-item]


def test_files_and_folders_become_artifacts(settings: Settings, workspace: Path, runs: Runs) -> None:
    pictures = workspace / "pictures"
    pictures.mkdir()
    (pictures / "curve.png").write_bytes(b"png")
    with stage_run("evaluate", settings, inputs=[], outputs=[]) as run:
        run.log_artifact(pictures)
        run.log_artifact(pictures / "curve.png", "alone")
        with pytest.raises(FileNotFoundError):
            run.log_artifact(workspace / "absent.png")
    stored = workspace / "mlflow" / "artifacts" / _by_name(runs())["evaluate"].info.run_id / "artifacts"
    assert sorted(file.relative_to(stored).as_posix() for file in stored.rglob("*.png")) == [
        "alone/curve.png",
        "pictures/curve.png",
    ]


@pytest.mark.parametrize("allowed", [False, True])
def test_what_shows_people_is_recorded_only_if_the_settings_allow_it(
    allowed: bool, settings: Settings, workspace: Path
) -> None:
    assert not settings.tracking.pictures
    (workspace / "face.png").write_bytes(b"png")
    tracking = settings.tracking.model_copy(update={"pictures": allowed})
    with stage_run("index", settings.model_copy(update={"tracking": tracking}), inputs=[], outputs=[]) as run:
        assert run.records_people == allowed
        run.log_artifact(workspace / "face.png", "pictures", shows_people=True)
    assert len(list((workspace / "mlflow").rglob("face.png"))) == allowed


def test_a_pyfunc_model_loads_with_its_folders(settings: Settings, workspace: Path, runs: Runs) -> None:
    code = workspace / "answer.py"
    code.write_text(
        textwrap.dedent(
            """
            from pathlib import Path
            from mlflow.models import set_model
            from mlflow.pyfunc import PythonModel

            class Answer(PythonModel):
                def load_context(self, context):
                    self.word = (Path(context.artifacts["gallery"]) / "word").read_text()
                def predict(self, context, model_input: list[int], params=None) -> list[str]:
                    return [self.word + str(item) for item in model_input]

            set_model(Answer())
            """
        )
    )
    gallery = workspace / "gallery"
    gallery.mkdir()
    (gallery / "word").write_text("it is ")
    with stage_run("index", settings, inputs=[], outputs=[]) as run:
        run.log_pyfunc(code, {"gallery": gallery}, "answer")
    (gallery / "word").unlink()
    found = _by_name(runs())
    child = found["index"]
    assert child.info.status == "FINISHED"
    assert found["parent"].outputs.model_outputs == child.outputs.model_outputs
    import mlflow

    (model,) = child.outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    assert loaded.predict([1, 2]) == ["it is 1", "it is 2"]
    assert len(list((workspace / "mlflow" / "artifacts").rglob("MLmodel"))) == 1
    assert not (workspace / "mlruns").exists()


@pytest.mark.parametrize("damage", ["a file in the folder's place", "a torn database"])
def test_an_unusable_store_is_one_warning_and_the_stage_goes_on(
    damage: str, settings: Settings, new_workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if damage == "a torn database":
        (new_workspace / "mlflow").mkdir()
        (new_workspace / "mlflow" / "mlflow.db").write_bytes(b"not a database" * 100)
    else:
        (new_workspace / "mlflow").write_text("")
    made = new_workspace / "made"
    with stage_run("prepare", settings, inputs=[], outputs=[made]) as run:
        run.log_metrics({"scenes": 1.0})
        made.write_text("kept")
    assert made.read_text() == "kept"
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("onelook.")]
    assert len(warnings) == 1 and warnings[0].startswith("MLflow lacks")


def test_an_error_of_the_stage_passes_through_without_a_store(settings: Settings, new_workspace: Path) -> None:
    (new_workspace / "mlflow").write_text("")
    with pytest.raises(ZeroDivisionError), stage_run("prepare", settings, inputs=[], outputs=[]):
        _ = 1 / 0


def test_two_stages_started_at_once_share_a_new_store(project: Path, new_workspace: Path, runs: Runs) -> None:
    body = """
        with stage_run("train", settings, inputs=[], outputs=[]) as run:
            for step in range(20):
                run.log_metrics({"loss": 1.0 * step}, step)
    """
    workers = [
        subprocess.Popen(_script(body, project / "params.yaml"), stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert not any("warning: MLflow" in error for error in errors), errors
    assert [run.info.status for run in runs()] == ["FINISHED"] * 4
    assert [run.data.metrics["loss"] for run in runs() if run.data.tags.get("stage")] == [19.0, 19.0]
