from pathlib import Path

from onelook.training.callbacks import write_history


def test_the_history_has_a_row_per_epoch_with_six_decimals(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [{"epoch": 1, "loss.box": 0.5}, {"epoch": 2, "loss.box": 1 / 3}])
    assert (tmp_path / "history.csv").read_text() == "epoch,loss.box\n1,0.500000\n2,0.333333\n"
