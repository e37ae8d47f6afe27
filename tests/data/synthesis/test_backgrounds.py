import importlib.util

import cv2
import numpy as np
import pytest

from onelook.data.synthesis.backgrounds import random_view, read_backgrounds
from onelook.errors import DataError
from onelook.inference.torch_predictor import public_detector
from onelook.settings import DetectSettings


def test_training_and_held_out_backgrounds_are_disjoint() -> None:
    train, held_out = read_backgrounds("train"), read_backgrounds("test")
    assert not {b.source for b in train} & {b.source for b in held_out}
    assert {b.source for b in read_backgrounds("validation")} == {b.source for b in held_out}
    assert min(len(train), len(held_out)) >= 6


def test_backgrounds_are_rgb_with_source_and_license() -> None:
    for background in read_backgrounds("train") + read_backgrounds("test"):
        assert background.image.ndim == 3 and background.image.shape[2] == 3 and min(background.image.shape[:2]) > 150
        assert background.source.startswith("scikit-image 0.26") and background.license


def test_backgrounds_contain_no_detectable_face() -> None:
    detector = public_detector()
    for background in read_backgrounds("train") + read_backgrounds("test"):
        (found,) = detector.predict(
            [background.image], DetectSettings(score=0.8, nms=0.4, longest_side=512), embed=False
        )
        assert len(found) == 0, background.source


@pytest.mark.parametrize("size", [(512, 384), (24, 31), (300, 700)])
def test_views_have_the_given_size_and_are_determined_by_the_seed(size: tuple[int, int]) -> None:
    image = read_backgrounds("train")[1].image
    one = random_view(image, *size, np.random.default_rng(3))
    assert one.shape == (size[1], size[0], 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, random_view(image, *size, np.random.default_rng(3)))
    assert (one != random_view(image, *size, np.random.default_rng(4))).any()


def test_view_preserves_the_aspect_ratio() -> None:
    # White discs remain round: width and height agree for every disc that is fully inside the view.
    image = np.zeros((600, 600, 3), np.uint8)
    for x in range(50, 600, 100):
        for y in range(50, 600, 100):
            cv2.circle(image, (x, y), 20, (255, 255, 255), -1)
    count = 0
    for seed in range(10):
        view = random_view(image, 200, 100, np.random.default_rng(seed))
        _, _, stats, _ = cv2.connectedComponentsWithStats((view[..., 1] > 80).astype(np.uint8))
        for left, top, width, height, _ in stats[1:]:
            if left > 0 and top > 0 and left + width < 200 and top + height < 100:
                assert abs(width - height) <= 2
                count += 1
    assert count > 20


def test_missing_wheel_raises_data_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="scikit-image"):
        read_backgrounds("train")
