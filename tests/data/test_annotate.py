from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.data.annotate import annotate, upscale_image
from onelook.data.manifest import Face
from onelook.data.readers.orl import read_orl
from onelook.detections import Detections
from onelook.inference.torch_predictor import public_detector
from onelook.settings import DetectSettings


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def detections(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] = ()) -> Detections:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    share = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    landmarks = corners[:, None, :2] + share * (corners[:, None, 2:] - corners[:, None, :2])
    given = np.array(scores or [0.9] * len(corners), np.float32)
    return Detections(corners, given, landmarks, np.zeros((len(corners), 0), np.float32))


@settings(deadline=None)
@given(st.integers(1, 255), st.integers(1, 255), st.floats(1, 4), st.lists(st.floats(-50, 300), min_size=2, max_size=2))
def test_mapping_to_the_upscaled_image_and_back_is_the_identity(
    width: int, height: int, factor: float, point: list[float]
) -> None:
    view = upscale_image(np.zeros((height, width, 3), np.uint8), factor)
    np.testing.assert_allclose(view.to_original(view.from_original(np.array(point))), point, atol=1e-3)


def test_a_bright_spot_is_at_its_mapped_point() -> None:
    photo = np.zeros((112, 92, 3), np.uint8)
    photo[40:44, 60:64] = 255  # center (62, 42) in continuous coordinates
    view = upscale_image(photo, 2.0)
    rows, columns = np.nonzero(view.image[..., 0] > 128)
    center = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    np.testing.assert_allclose(center, view.from_original(np.array([62.0, 42.0])), atol=0.1)
    assert view.image.shape == (112 * 2 + 2 * 56, 92 * 2 + 2 * 56, 3)


def test_the_longer_side_decides_whether_a_photo_is_small() -> None:
    assert upscale_image(np.zeros((255, 100, 3), np.uint8), 2.0).border > 0
    large = np.zeros((256, 100, 3), np.uint8)
    view = upscale_image(large, 2.0)
    assert view.image is large and view.border == 0


def test_boxes_are_in_pixels_of_the_original_image() -> None:
    photo = np.zeros((112, 92, 3), np.uint8)
    (face,) = annotate(
        photo, "ann", lambda image: detections((56 + 20, 56 + 40, 56 + 160, 56 + 200)), score=0.5, upscale=2.0
    )
    np.testing.assert_allclose(face.box, [10, 20, 80, 100], atol=1e-4)
    np.testing.assert_allclose(face.landmarks[2], [45, 68], atol=1e-4)
    assert face.identity == "ann" and face.landmarks.dtype == np.float32


def test_the_most_prominent_face_is_the_person_and_other_faces_have_no_identity() -> None:
    photo = np.zeros((400, 400, 3), np.uint8)
    # Area x (1 - distance / half diagonal): 6400 x 1 in the center against 10000 x (1 - 150 / 200) in a corner.
    found = detections((0, 0, 100, 100), (160, 160, 240, 240), (300, 300, 320, 320))
    faces = annotate(photo, "ann", lambda image: found, score=0.5, upscale=2.0)
    assert [face.identity for face in faces] == ["ann", None, None]
    np.testing.assert_array_equal(faces[0].box, [160, 160, 240, 240])
    larger = detections((0, 0, 200, 200), (160, 160, 240, 240))  # 40000 x (1 - 100 / 200) wins
    np.testing.assert_array_equal(
        annotate(photo, "ann", lambda image: larger, score=0.5, upscale=2.0)[0].box, [0, 0, 200, 200]
    )


def test_weak_detections_are_no_faces() -> None:
    photo = np.zeros((300, 300, 3), np.uint8)
    weak = detections((50, 50, 200, 200), scores=(0.4,))
    assert annotate(photo, "ann", lambda image: weak, score=0.5, upscale=2.0) == ()
    assert annotate(photo, "ann", lambda image: detections(), score=0.5, upscale=2.0) == ()


LARGE, SMALL = (100, 100, 300, 300), (20, 30, 70, 80)


def labeled(label: Face, *boxes: tuple[float, float, float, float]) -> tuple[Face, ...]:
    photo = np.zeros((400, 400, 3), np.uint8)
    return annotate(photo, "ann", lambda image: detections(*boxes), score=0.5, upscale=2.0, label=label)


def partial_label(box: tuple[float, ...] | None, points: int) -> Face:
    """A label of the small face, shifted by a pixel, with a box or none and its first points."""
    landmarks = detections(SMALL).landmarks[0] + 1
    landmarks[points:] = np.nan
    return Face(np.array(box or [np.nan] * 4, np.float32), landmarks)


def test_labels_take_precedence_and_missing_values_come_from_the_matching_detection() -> None:
    found = detections(LARGE, SMALL)
    for box, points in (((18, 20, 74, 90), 5), ((18, 20, 74, 90), 0), ((18, 20, 74, 90), 2), (None, 5), (None, 1)):
        person, other = labeled(partial_label(box, points), LARGE, SMALL)
        assert (person.identity, other.identity) == ("ann", None)
        np.testing.assert_array_equal(person.box, box or SMALL)
        np.testing.assert_array_equal(person.landmarks[:points], found.landmarks[1, :points] + 1)
        np.testing.assert_array_equal(person.landmarks[points:], found.landmarks[1, points:])
        np.testing.assert_array_equal(other.box, LARGE)


def test_a_full_label_needs_no_detection_and_a_partial_one_without_a_match_gives_no_face() -> None:
    full = partial_label((18, 20, 74, 90), 5)
    assert [face.identity for face in labeled(full)] == ["ann"]
    assert [face.identity for face in labeled(full, LARGE)] == ["ann", None]
    for box, points in (((18, 20, 74, 90), 4), ((18, 20, 74, 90), 0), (None, 5), (None, 1)):
        assert labeled(partial_label(box, points)) == ()
        assert labeled(partial_label(box, points), LARGE) == ()


@pytest.mark.parametrize("move", [(400, 0), (0, 400), (-70, 0), (0, -80)])
def test_a_label_outside_the_photo_is_no_face(move: tuple[int, int]) -> None:
    label = partial_label(SMALL, 5)
    moved = Face(label.box + np.tile(np.float32(move), 2), label.landmarks + np.float32(move))
    assert labeled(label) and labeled(moved, LARGE, SMALL) == ()


def test_landmarks_beside_the_box_or_collinear_give_no_face() -> None:
    label = partial_label(SMALL, 5)
    assert labeled(Face(label.box, label.landmarks + np.float32(60)), LARGE) == ()
    assert labeled(Face(label.box, label.landmarks * np.float32((1, 0)) + np.float32((0, 50))), LARGE) == ()
    assert labeled(Face(label.box, label.landmarks * 0 + np.float32((45, 50))), LARGE) == ()


@pytest.mark.usefixtures("one_thread")
def test_each_of_the_400_default_photos_gives_exactly_one_plausible_face() -> None:
    detector = public_detector()
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    for portrait in read_orl().images:
        faces = annotate(
            portrait.read(),
            portrait.identity,
            lambda image: detector.predict([image], detect, embed=False)[0],
            score=0.5,
            upscale=2.0,
        )
        assert len(faces) == 1, portrait.source
        (left_eye, right_eye, nose, left_mouth, right_mouth), size = faces[0].landmarks, faces[0].size
        assert 35 < size < 110, portrait.source
        assert left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0], portrait.source
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1]), portrait.source
