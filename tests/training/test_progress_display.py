import pytest

from onelook.training.progress_display import ProgressDisplay


def test_the_display_prints_losses_and_metrics_of_an_epoch_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(epochs=3, steps_per_epoch=2) as display:
        display.on_step_end(2, 1)
        display.on_epoch_end(2, {"loss.box": 0.25, "weight.box": 2.0})
    captured = capsys.readouterr()
    assert "epoch 2/3  loss.box 0.250" in captured.err and "weight.box" not in captured.err and captured.out == ""
