import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.data.manifest import Face
from onelook.data.synthesis.face_crop import FaceCrop, crop_head, head_mask, rotated_box_size, soft_edge, transform_head

POINTS = np.array([[35.5, 40.0], [60.25, 42.5], [48.0, 58.75], [38.0, 74.0], [58.5, 75.25]], np.float32)
BOX = np.array([22, 18, 74, 92], np.float32)


def spotted_head(height: int = 112, width: int = 92) -> FaceCrop:
    """Make a dark image with a soft bright spot centered on each landmark."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    spots = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 2.0**2)) for px, py in POINTS)
    image = np.repeat((240 * spots).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return FaceCrop(image, Face(BOX, POINTS, "ann"), np.zeros((0, 4), np.float32), is_gray=True)


def spot_centroid(image: np.ndarray, point: np.ndarray, radius: float) -> np.ndarray:
    """Return the brightness centroid around a point, in continuous coordinates."""
    x, y = np.meshgrid(np.arange(image.shape[1]) + 0.5, np.arange(image.shape[0]) + 0.5)
    weight = image[..., 0] * (np.hypot(x - point[0], y - point[1]) < radius)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@settings(deadline=None, max_examples=60)
@given(st.floats(24, 250), st.floats(-90, 90))
def test_landmarks_match_the_pixels_at_every_size_and_rotation(size: float, degrees: float) -> None:
    head = spotted_head()
    patch = transform_head(head, np.ones(head.image.shape[:2], np.float32), size, degrees)
    scale = size / np.sqrt(np.prod(rotated_box_size(52, 74, degrees)))
    for point in patch.landmarks:
        found = spot_centroid(patch.image, point, 6 * scale)
        np.testing.assert_allclose(found, point, atol=0.15 + 0.02 * scale)


@given(st.floats(24, 250), st.floats(-90, 90))
@settings(deadline=None, max_examples=40)
def test_box_has_the_given_size_and_the_rotated_center(size: float, degrees: float) -> None:
    head = spotted_head()
    patch = transform_head(head, np.ones(head.image.shape[:2], np.float32), size, degrees)
    width, height = patch.box[2:] - patch.box[:2]
    assert np.sqrt(width * height) == pytest.approx(size, rel=1e-4)
    assert width / height == pytest.approx(np.divide(*rotated_box_size(52, 74, degrees)), rel=1e-4)
    # A similarity transform commutes with weighted means, so the center keeps its weights of the landmarks.
    corners = np.column_stack([POINTS, np.ones(5)])
    weights = np.linalg.lstsq(corners.T, np.array([48, 55, 1.0]), rcond=None)[0]
    np.testing.assert_allclose((patch.box[:2] + patch.box[2:]) / 2, weights @ patch.landmarks, atol=0.01)


def test_positive_angle_rotates_counter_clockwise() -> None:
    head = spotted_head()
    patch = transform_head(head, np.ones(head.image.shape[:2], np.float32), 64, 30)
    assert patch.landmarks[1, 1] < patch.landmarks[0, 1]  # the right eye rises


@given(st.floats(5, 300), st.floats(5, 300), st.floats(-180, 180))
def test_rotated_box_size_bounds_the_rotated_ellipse(width: float, height: float, degrees: float) -> None:
    t = np.linspace(0, 2 * np.pi, 4001)
    ellipse = np.array([width / 2 * np.cos(t), height / 2 * np.sin(t)])
    a = np.radians(degrees)
    rotated = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) @ ellipse
    np.testing.assert_allclose(rotated_box_size(width, height, degrees), np.ptp(rotated, axis=1), rtol=1e-4, atol=1e-3)


def test_downscaling_averages_pixels() -> None:
    # Stripes one pixel wide become uniform gray at a quarter of the size; skipped pixels would cause moiré.
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, ::2] = 255
    head = FaceCrop(image, Face(np.array([100, 100, 300, 300], np.float32), POINTS), np.zeros((0, 4)), is_gray=True)
    patch = transform_head(head, np.ones((400, 400), np.float32), 50, 10)
    inside = patch.image[patch.alpha > 0.999]
    assert inside.std() < 6 and abs(inside.mean() - 127.5) < 4


@pytest.mark.parametrize("seed", range(20))
def test_mask_covers_the_face_and_fades_to_the_border(seed: int) -> None:
    head = spotted_head()
    mask = head_mask(head, np.random.default_rng(seed))
    assert mask.shape == (112, 92) and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    for x, y in POINTS:
        assert mask[int(y), int(x)] > 0.95
    edges = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert edges.max() < 0.1
    assert np.abs(np.diff(mask, axis=0)).max() < 0.55 and np.abs(np.diff(mask, axis=1)).max() < 0.55


def test_masks_are_random() -> None:
    rng = np.random.default_rng(0)
    areas = [head_mask(spotted_head(), rng).mean() for _ in range(20)]
    assert np.std(areas) > 0.02


def test_mask_is_rotated_with_the_head() -> None:
    face = Face(np.array([60, 60, 140, 140], np.float32), np.zeros((5, 2), np.float32))
    a = np.radians(30)
    rotation = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    upright = np.array([[-20, -20], [20, -20], [0, 0], [-15, 25], [15, 25]], np.float32)
    rotated = Face(np.array([70, 50, 130, 150], np.float32), (upright @ rotation.T + 100).astype(np.float32))
    empty = np.zeros((0, 4), np.float32)
    image = np.zeros((200, 200, 3), np.uint8)
    total = sum(
        head_mask(FaceCrop(image, rotated, empty, True), np.random.default_rng(seed)).astype(float)
        for seed in range(20)
    )
    y, x = np.nonzero(total > total.max() / 2)
    axis = np.linalg.eigh(np.cov(x, y))[1][:, 1]  # the direction of the longest extent
    angle = np.degrees(np.arctan2(axis[0], axis[1]))
    assert (angle + 90) % 180 - 90 == pytest.approx(30, abs=8)
    assert np.isfinite(face.landmarks).all()


def test_mask_without_landmarks_is_upright() -> None:
    empty = np.zeros((0, 4), np.float32)
    head = FaceCrop(np.zeros((112, 92, 3), np.uint8), Face(BOX), empty, is_gray=True)
    mask = head_mask(head, np.random.default_rng(0))
    assert np.isfinite(mask).all() and mask[55, 48] == 1


def test_mask_excludes_neighboring_faces() -> None:
    neighbor = np.array([[60, 40, 100, 90]], np.float32)
    head = spotted_head(112, 120)
    with_neighbor = FaceCrop(head.image, head.face, neighbor, is_gray=True)
    for seed in range(10):
        mask = head_mask(with_neighbor, np.random.default_rng(seed))
        assert mask[65, 85] < 0.05  # inside the neighbor, outside the own face
        assert mask[55, 48] > 0.95  # the own face is fully covered


def test_crop_head_transforms_labels_and_limits_the_size() -> None:
    image = np.zeros((1000, 1000, 3), np.uint8)
    cv2.circle(image, (500, 400), 12, (255, 255, 255), -1)
    points = np.array([[440, 380], [560, 380], [500.5, 400.5], [450, 450], [550, 450]], np.float32)
    face = Face(np.array([400, 280, 600, 520], np.float32), points, "ann", "ann/1.jpg")
    near, far = np.array([620, 300, 700, 380], np.float32), np.array([10, 10, 60, 60], np.float32)
    head = crop_head(image, (face, Face(near), Face(far)), max_size=100)
    assert head.face.size == pytest.approx(100, rel=0.01)
    np.testing.assert_allclose(spot_centroid(head.image, head.face.landmarks[2], 12), head.face.landmarks[2], atol=0.2)
    assert (head.face.identity, head.face.source, head.is_gray) == ("ann", "ann/1.jpg", True)
    assert len(head.other_boxes) == 1
    untouched = crop_head(image, (face,), max_size=1000)
    assert untouched.face.size == pytest.approx(face.size)


def test_one_colored_pixel_makes_a_crop_not_gray() -> None:
    image = np.full((200, 200, 3), 90, np.uint8)
    face = Face(np.array([60, 60, 120, 130], np.float32))
    assert crop_head(image, (face,), 100).is_gray
    image[80, 80, 0] = 91
    assert not crop_head(image, (face,), 100).is_gray


def test_soft_edge_is_constant_inside_and_outside() -> None:
    radius = np.array([0.0, 0.79, 0.9, 1.0, 2.0])
    np.testing.assert_allclose(soft_edge(radius, 0.2), [1, 1, 0.5, 0, 0], atol=1e-12)
