from pathlib import Path

import pytest

from onelook.training.callbacks import ProgressDisplay, write_history


def test_the_history_has_a_row_per_epoch_with_six_decimals(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [{"epoch": 1, "loss.box": 0.5}, {"epoch": 2, "loss.box": 1 / 3}])
    assert (tmp_path / "history.csv").read_text() == "epoch,loss.box\n1,0.500000\n2,0.333333\n"


def test_the_display_prints_losses_and_metrics_of_an_epoch_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(epochs=3, steps_per_epoch=2) as display:
        display.on_step_end(2, 1)
        display.on_epoch_end(2, {"loss.box": 0.25, "weight.box": 2.0})
    captured = capsys.readouterr()
    assert "epoch 2/3  loss.box 0.250" in captured.err and "weight.box" not in captured.err and captured.out == ""
