import numpy as np
import pytest

from onelook.data.manifest import Face
from onelook.data.synthesis.blending import blend
from onelook.geometry.alignment import REFERENCE_LANDMARKS


def gray_face(level: int, shift: float, size: float) -> tuple[np.ndarray, Face]:
    """Make a face of one gray level on black, with landmarks and a box around them."""
    landmarks = (REFERENCE_LANDMARKS * size + shift).astype(np.float32)
    image = np.zeros((112, 112, 3), np.uint8)
    x1, y1 = np.floor(landmarks.min(axis=0) - 12).astype(int)
    x2, y2 = np.ceil(landmarks.max(axis=0) + 12).astype(int)
    image[y1:y2, x1:x2] = level
    return image, Face(np.array([x1, y1, x2, y2], np.float32), landmarks, "someone", f"photo {level}")


def test_blend_is_the_mean_of_both_faces() -> None:
    (first, face), (second, other) = gray_face(200, 6, 0.9), gray_face(100, 10, 0.8)
    image, blended = blend(first, face, second, other, "both")
    assert image.shape == first.shape and image.dtype == np.uint8
    x, y = blended.landmarks[2].astype(int)
    assert image[y, x].tolist() == [150, 150, 150]
    assert blended.identity == "both" and blended.source == "photo 200 + photo 100"


def test_blend_of_an_image_with_itself_is_unchanged() -> None:
    rng = np.random.default_rng(0)
    _, face = gray_face(1, 6, 0.9)
    image = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    mixed, blended = blend(image, face, image, face, "same")
    np.testing.assert_allclose(mixed.astype(int), image, atol=1)
    np.testing.assert_allclose(blended.landmarks, face.landmarks, atol=1e-3)
    np.testing.assert_allclose(blended.box, face.box, atol=1e-3)


@pytest.mark.parametrize("shift", [0.0, 15.0])
def test_position_and_size_of_the_second_face_do_not_matter(shift: float) -> None:
    first, face = gray_face(200, 6, 0.9)
    second, other = gray_face(100, shift, 0.7)
    image, blended = blend(first, face, second, other, "both")
    np.testing.assert_allclose(blended.landmarks, face.landmarks, atol=1e-2)
    x, y = blended.landmarks.mean(axis=0).astype(int)
    assert image[y, x].tolist() == [150, 150, 150]
