import numpy as np
import pytest

from onelook.data.manifest import Face
from onelook.data.synthesis.blending import blend
from onelook.geometry.alignment import TEMPLATE


def painted(level: int, shift: float, size: float) -> tuple[np.ndarray, Face]:
    """A flat face of one gray level on black, with its landmarks and a box around them."""
    landmarks = (TEMPLATE * size + shift).astype(np.float32)
    image = np.zeros((112, 112, 3), np.uint8)
    x1, y1 = np.floor(landmarks.min(axis=0) - 12).astype(int)
    x2, y2 = np.ceil(landmarks.max(axis=0) + 12).astype(int)
    image[y1:y2, x1:x2] = level
    return image, Face(np.array([x1, y1, x2, y2], np.float32), landmarks, "someone", f"photo {level}")


def test_the_middle_of_the_face_is_half_of_each() -> None:
    (first, face), (second, other) = painted(200, 6, 0.9), painted(100, 10, 0.8)
    photo, blended = blend(first, face, second, other, "both")
    assert photo.shape == first.shape and photo.dtype == np.uint8
    x, y = blended.landmarks[2].astype(int)
    assert photo[y, x].tolist() == [150, 150, 150]
    assert blended.identity == "both" and blended.source == "photo 200 + photo 100"


def test_a_photo_blended_with_itself_is_itself() -> None:
    rng = np.random.default_rng(0)
    _, face = painted(1, 6, 0.9)
    photo = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    mixed, blended = blend(photo, face, photo, face, "same")
    np.testing.assert_allclose(mixed.astype(int), photo, atol=1)
    np.testing.assert_allclose(blended.landmarks, face.landmarks, atol=1e-3)
    np.testing.assert_allclose(blended.box, face.box, atol=1e-3)


@pytest.mark.parametrize("shift", [0.0, 15.0])
def test_another_place_and_size_of_the_second_face_changes_nothing(shift: float) -> None:
    """The second face is brought onto the first: where it was in its own photo does not matter."""
    first, face = painted(200, 6, 0.9)
    second, other = painted(100, shift, 0.7)
    photo, blended = blend(first, face, second, other, "both")
    np.testing.assert_allclose(blended.landmarks, face.landmarks, atol=1e-2)
    x, y = blended.landmarks.mean(axis=0).astype(int)
    assert photo[y, x].tolist() == [150, 150, 150]
