"""A new gallery takes over the calibrated threshold; labeled scenes fill the pipeline's."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import read_image
from onelook.data.manifest import Face, Manifest, Scene
from onelook.errors import GalleryError
from onelook.gallery.calibration import calibrated_metadata
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.enrollment import add_new, rows_of_scenes

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
    terms = calibrated_metadata(write(tmp_path / "c.json", CALIBRATION), "a" * 64, 128, managed=True)
    assert (terms.threshold, terms.target_fpir, terms.detect.longest_side) == (0.41, 0.01, 1280)
    assert terms.managed


def test_what_tells_strangers_comes_along(tmp_path: Path) -> None:
    law = {"mean": 0.01, "std": 0.12, "intercept": -2.6, "slope": 0.8}
    terms = calibrated_metadata(write(tmp_path / "c.json", CALIBRATION | {"unknown": law}), "a" * 64, 128, managed=True)
    assert terms.unknown is not None
    assert terms.unknown.model_dump() == law
    assert terms.threshold_for(100) == terms.unknown.threshold(0.01, 100)
    without = calibrated_metadata(write(tmp_path / "d.json", CALIBRATION), "a" * 64, 128, managed=True)
    assert without.threshold_for(100) == 0.41


def test_another_models_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="calibrated for model aaaaaaaaaaaa, this is model bbbbbbbbbbbb"):
        calibrated_metadata(write(tmp_path / "c.json", CALIBRATION), "b" * 64, 128, managed=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "damaged"),
        ("[1]", "damaged"),
        (json.dumps(CALIBRATION)[:-9], "damaged"),
        (json.dumps(CALIBRATION | {"threshold": "high"}), "threshold"),
        (json.dumps(CALIBRATION | {"target_fpir": 2}), "target_fpir"),
        (json.dumps(CALIBRATION).replace("0.41", "NaN"), "threshold"),
        (json.dumps(CALIBRATION | {"unknown": {"mean": 0.0, "std": -1.0}}), "unknown"),
        (json.dumps({key: CALIBRATION[key] for key in ("threshold", "detect")}), "missing|required"),
    ],
)
def test_a_damaged_calibration_is_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(GalleryError, match=said) as caught:
        calibrated_metadata(tmp_path / "c.json", "a" * 64, 128, managed=False)
    assert "\n" not in str(caught.value)


def test_a_missing_calibration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="make repro"):
        calibrated_metadata(tmp_path / "none.json", "a" * 64, 128, managed=False)


def make_scene(path: Path, root: Path, faces: list[tuple[int, str | None]]) -> Scene:
    """A scene of a coded photo: the boxes of its faces by place, and who they are."""
    labeled = tuple(
        Face(np.asarray([60 * place + 1, 5, 60 * place + 56, 65], np.float32), identity=name) for place, name in faces
    )
    return Scene(path.relative_to(root).as_posix(), 240, 70, "test", "enroll", labeled, "made", "MIT")


def test_in_a_labeled_photo_the_labeled_face_is_taken(
    tmp_path: Path, looker, terms: GalleryMetadata, photo: Callable[..., Path]
) -> None:
    scenes = (
        make_scene(photo(7, 1), tmp_path, [(0, None), (1, "Anna")]),
        make_scene(photo(2, 7), tmp_path, [(0, "Bob")]),
        make_scene(photo(3), tmp_path, [(4, "Carl")]),  # the only face found lies elsewhere
        make_scene(photo(), tmp_path, [(0, "Dora")]),
    )
    rows, missed = rows_of_scenes(looker, terms.detect, Manifest(tmp_path, scenes), "test")
    assert [entry.person for entry in rows.entries] == ["Anna", "Bob"]
    expected = [looker.predict([read_image(photo(*who))], terms.detect)[0].embeddings[0] for who in ((1,), (2,))]
    np.testing.assert_array_equal(rows.embeddings, expected)
    assert missed == [photo(3), photo()]
    assert len(add_new(empty_gallery(terms), rows).entries) == 2


def test_nobody_found_stops_the_stage(
    tmp_path: Path, looker, terms: GalleryMetadata, photo: Callable[..., Path]
) -> None:
    scenes = (make_scene(photo(), tmp_path, [(0, "Dora")]),)
    with pytest.raises(GalleryError, match="nobody can be enrolled"):
        rows_of_scenes(looker, terms.detect, Manifest(tmp_path, scenes), "test")
