import shutil
from pathlib import Path

import pytest

from helpers.command_line import Run, make_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    return make_run(monkeypatch, capsys)


def test_each_added_key_is_printed_and_a_complete_file_has_nothing_to_add(run: Run, project: Path) -> None:
    text = (project / "params.yaml").read_text().replace("  iou: 0.5\n", "").replace("baselines: []\n", "")
    Path("params.yaml").write_text(text)
    shutil.copy("params.yaml", "mine.yaml")
    added = "baselines\t[]\nevaluate.iou\t0.5\n"
    assert run("complete-params") == (0, added, "")
    assert run("complete-params") == (0, "params.yaml: nothing to add\n", "")
    assert run("complete-params", "mine.yaml") == (0, added, "")


def test_an_invalid_file_is_refused_in_one_line(run: Run) -> None:
    Path("params.yaml").write_text("train:\n  epochs: 0\n")
    code, out, err = run("complete-params")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: params.yaml: train.epochs: 0 is impossible")
    assert Path("params.yaml").read_text() == "train:\n  epochs: 0\n"
    assert run("complete-params", "absent.yaml")[2].startswith("error: absent.yaml: cannot be read")
