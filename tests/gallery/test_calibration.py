"""Gallery metadata from a calibration file."""

import json
from pathlib import Path

import pytest

from onelook.errors import GalleryError
from onelook.gallery.calibration import read_calibrated_metadata

CALIBRATION = {
    "threshold": 0.41,
    "target_fpir": 0.01,
    "fingerprint": "a" * 64,
    "detect": {"score": 0.5, "nms": 0.4, "longest_side": 1280},
    "people": 6,
    "probes": 30,
}


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_threshold_and_detection_come_from_the_calibration(tmp_path: Path) -> None:
    metadata = read_calibrated_metadata(write(tmp_path / "c.json", CALIBRATION), "a" * 64, 128, managed=True)
    assert (metadata.threshold, metadata.target_fpir, metadata.detect.longest_side) == (0.41, 0.01, 1280)
    assert metadata.managed


def test_impostor_model_comes_from_the_calibration(tmp_path: Path) -> None:
    law = {"mean": 0.01, "std": 0.12, "intercept": -2.6, "slope": 0.8}
    metadata = read_calibrated_metadata(
        write(tmp_path / "c.json", CALIBRATION | {"unknown": law}), "a" * 64, 128, managed=True
    )
    assert metadata.impostor_model is not None
    assert metadata.impostor_model.model_dump() == law
    assert metadata.threshold_for(100) == metadata.impostor_model.threshold(0.01, 100)
    without = read_calibrated_metadata(write(tmp_path / "d.json", CALIBRATION), "a" * 64, 128, managed=True)
    assert without.threshold_for(100) == 0.41


def test_another_models_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="calibrated for model aaaaaaaaaaaa, this is model bbbbbbbbbbbb"):
        read_calibrated_metadata(write(tmp_path / "c.json", CALIBRATION), "b" * 64, 128, managed=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "damaged"),
        ("[1]", "damaged"),
        (json.dumps(CALIBRATION)[:-9], "damaged"),
        (json.dumps(CALIBRATION | {"threshold": "high"}), "threshold"),
        (json.dumps(CALIBRATION | {"target_fpir": 2}), "target_fpir"),
        (json.dumps(CALIBRATION).replace("0.41", "NaN"), "not finite"),
        (json.dumps(CALIBRATION | {"unknown": {"mean": 0.0, "std": -1.0}}), "unknown"),
        (json.dumps({key: CALIBRATION[key] for key in ("threshold", "detect")}), "missing|required"),
    ],
)
def test_a_damaged_calibration_is_reported_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(GalleryError, match=said) as caught:
        read_calibrated_metadata(tmp_path / "c.json", "a" * 64, 128, managed=False)
    assert "\n" not in str(caught.value)


def test_a_missing_calibration_is_reported_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="make repro"):
        read_calibrated_metadata(tmp_path / "none.json", "a" * 64, 128, managed=False)
