"""The whole calibration, on photos whose mean color is the person."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import SIZE, make_embedding
from onelook.data.held_out import eighth_of
from onelook.data.image_io import write_image
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.evaluation.calibration_sets import (
    DEGRADED_SIZES,
    degrade,
    find_named_photos,
    find_photos,
    fit_open_set_model,
    parse_ages,
)
from onelook.gallery.calibration import Calibration
from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS
from onelook.settings import DetectSettings

SIDE = 120
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)


class ColorPredictor:
    """A predictor whose face fills the image, and whose embedding depends on the mean color."""

    embedding_size = SIZE
    fingerprint = "a" * 64
    source = None
    has_mesh_head = False
    min_batch_size = 1

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings) -> list[Detections]:
        """Detect the face of each image."""
        return [self._predict(image) for image in images]

    def _predict(self, image: np.ndarray) -> Detections:
        side = image.shape[0]
        person = round(float(image[..., 0].mean()) / 2)
        return Detections(
            boxes=np.array([[0, 0, side, side]], np.float32),
            scores=np.array([0.9], np.float32),
            landmarks=(REFERENCE_LANDMARKS * (side / CROP_SIZE))[None].astype(np.float32),
            embeddings=make_embedding(person, int(image.sum()) % 1000)[None],
        )


def write_photo(path: Path, person: int, seed: int) -> None:
    noise = np.random.default_rng([person, seed]).integers(-20, 21, (SIDE, SIDE, 3))
    noise -= np.round(noise.mean(axis=(0, 1))).astype(int)
    color = np.array([2 * person, 128, 128])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.clip(color + noise, 0, 255).astype(np.uint8))


def test_the_calibration_is_fitted_and_read_back(tmp_path: Path) -> None:
    for person in range(20, 80):
        for number in range(2):
            write_photo(tmp_path / f"named/p{person}/{number}.png", person, number)
        write_photo(tmp_path / f"faces/{person}.png", person, 9)
    model, counts = fit_open_set_model(
        ColorPredictor(), DETECT, {"named": find_named_photos(tmp_path / "named")}, [tmp_path / "faces"], None, 0.01, 1
    )
    assert counts["named"] == 120
    assert counts["faces"] == sum(eighth_of(f"{person}.png") == 0 for person in range(20, 80)) > 2
    assert model.prior.std == pytest.approx(1 / np.sqrt(SIZE), rel=0.2)
    assert model.young is None
    content = {"threshold": 0.5, "target_fpir": 0.01, "fingerprint": "a", "detect": DETECT.model_dump()}
    read = Calibration.model_validate(content | {"open_set": model.model_dump(mode="json")})
    assert read.open_set == model
    assert Calibration.model_validate(content).open_set is None


def test_photos_calibrate_or_measure(tmp_path: Path) -> None:
    for number in range(40):
        write_photo(tmp_path / f"{number}.png", 1, number)
    assert {path.name for path in find_photos(tmp_path, "calibrate")} == {
        path.name for path in tmp_path.iterdir() if eighth_of(path.name) == 0
    }
    assert {eighth_of(path.name) for path in find_photos(tmp_path, "measure")} == {1, 2, 3}
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photo"):
        find_photos(tmp_path / "empty", "calibrate")


def test_ages_and_groups_come_from_utkfaces_names() -> None:
    ages, groups = parse_ages([Path("7_1_3_2017.jpg"), Path("40_0_0_2017.jpg"), Path("ada.jpg")])
    assert ages.tolist() == [7, 40, -1]
    assert groups.tolist()[:2] == ["1_3", "0_0"]


def test_photos_are_reduced_or_blurred() -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    rng = np.random.default_rng(1)
    changed = [degrade(image, SIDE, rng) for _ in range(40)]
    sides = {each.shape[0] for each in changed}
    assert min(sides) >= round(DEGRADED_SIZES[0]) and max(sides) == SIDE
    assert all(each.shape[0] < SIDE or each.std() <= image.std() for each in changed)
