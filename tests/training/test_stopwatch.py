"""The stopwatch goes on from the minutes that were saved for the same training."""

import json
from pathlib import Path

import pytest

from onelook.errors import DataError
from onelook.training.stopwatch import Stopwatch


def test_minutes_are_added_for_the_same_key_alone(tmp_path: Path) -> None:
    first = Stopwatch(tmp_path / "new", "key")
    first.save()
    (file,) = (tmp_path / "new").iterdir()
    saved = json.loads(file.read_text())
    assert 0 <= saved["minutes"] <= first.minutes < 1
    file.write_text(json.dumps(saved | {"minutes": 30.0}))
    assert 30 <= Stopwatch(tmp_path / "new", "key").minutes < 31
    assert Stopwatch(tmp_path / "new", "other").minutes < 1
    for content in ("", "[" * 10_000, "{}", '{"key": "key", "minutes": null}'):
        file.write_text(content)
        with pytest.raises(DataError, match="damaged"):
            Stopwatch(tmp_path / "new", "key")
