from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.painted import COLORS, SIDE, paint
from onelook.data.image_io import read_image, write_image
from onelook.errors import OnelookError
from onelook.face_quality import DEFAULT_UNUSABLE, Quality
from onelook.gallery.clustering import MIN_SCORE
from onelook.media.unknown_faces import UnknownFace, crop_face, crop_faces

GOOD_QUALITY = Quality(score=1, size=100, sharpness=1)
NO_BOXES = np.empty((0, 4))


def coordinate_image(height: int, width: int) -> np.ndarray:
    """Make an image whose pixels hold their row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)


def crop_box(crop: np.ndarray) -> tuple[int, int, int, int]:
    """Return x1 y1 x2 y2 of a crop of a coordinate image."""
    return (*map(int, crop[0, 0, 1::-1]), *(int(c) + 1 for c in crop[-1, -1, 1::-1]))


def make_face(source: Path, frame: int | None = None, left: float = 10, row: int = 0) -> UnknownFace:
    return UnknownFace(row, source, frame, np.array([left, 10, left + SIDE, 10 + SIDE]), NO_BOXES, GOOD_QUALITY)


def test_single_face_is_cropped_with_the_widest_margin_inside_the_image() -> None:
    image = coordinate_image(200, 250)
    assert crop_box(crop_face(image, np.array([100.0, 80, 120, 110]), NO_BOXES)) == (84, 56, 136, 134)
    assert crop_box(crop_face(image, np.array([-5.0, 180, 15, 210]), NO_BOXES)) == (0, 156, 31, 200)


@pytest.mark.parametrize(
    ("neighbor_left", "crop_right"),
    [
        pytest.param(136, 136, id="neighbor begins where the widest margin ends"),
        pytest.param(131, 136, id="a quarter of the neighbor is allowed"),
        pytest.param(130, 132, id="margin 0.8 shows 6 of 20 pixels, 0.6 shows 2"),
        pytest.param(119, 124, id="margin 0.2"),
        pytest.param(100, 122, id="neighbor on the face: smallest margin"),
    ],
)
def test_margin_excludes_neighbors(neighbor_left: int, crop_right: int) -> None:
    neighbor_boxes = np.array([[neighbor_left, 80, neighbor_left + 20, 110]])
    crop = crop_face(coordinate_image(200, 250), np.array([100.0, 80, 120, 110]), neighbor_boxes)
    assert crop_box(crop)[2] == crop_right


def test_low_quality_faces_are_not_usable() -> None:
    face = make_face(Path("a.jpg"))
    assert face.is_usable(DEFAULT_UNUSABLE)
    for change in ({"score": MIN_SCORE - 0.01}, {"size": 31.0}, {"sharpness": 0.1}):
        quality = GOOD_QUALITY.model_copy(update=change)
        assert not UnknownFace(0, face.source, None, face.box, NO_BOXES, quality).is_usable(DEFAULT_UNUSABLE)


def test_faces_are_cropped_from_photos_and_video_frames(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    video = make_video("a.mp4", [paint((1 + t % 4, 10, 10)) for t in range(8)])
    write_image(tmp_path / "b.png", paint((1, 10, 10), (2, 100, 10)))
    faces = [
        make_face(tmp_path / "b.png", left=100, row=7),
        *(make_face(video, frame=frame, row=row) for row, frame in enumerate((5, 2, 2, 7))),
        make_face(tmp_path / "b.png", row=8),
    ]
    crops = dict(crop_faces(faces))
    assert len(crops) == 6
    expected = [2, 1 + 5 % 4, 1 + 2, 1 + 2, 1 + 7 % 4, 1]
    for face, identity in zip(faces, expected, strict=True):
        crop = crops[face]
        assert isinstance(crop, np.ndarray)
        left = round(min(face.box[0], 0.8 * SIDE))  # left edge of the face in the crop
        mean_color = crop[20:30, left + 10 : left + 20].mean(axis=(0, 1))
        np.testing.assert_allclose(mean_color, COLORS[identity], atol=25)
    expected_crop = crop_face(read_image(tmp_path / "b.png"), faces[-1].box, NO_BOXES)
    np.testing.assert_array_equal(crops[faces[-1]], expected_crop)


@pytest.mark.parametrize("frame", [None, 3])
def test_unreadable_file_yields_an_error_and_other_files_are_cropped(
    tmp_path: Path, make_video: Callable[..., Path], frame: int | None
) -> None:
    write_image(tmp_path / "z.png", paint((1, 10, 10)))
    missing = make_face(tmp_path / "gone.mp4", frame)
    too_short = make_face(make_video("short.mp4", [paint()] * 2), 5)
    results = dict(crop_faces([missing, too_short, make_face(tmp_path / "z.png", row=1)]))
    errors = [str(result) for result in results.values() if isinstance(result, OnelookError)]
    assert len(errors) == 2 and len(results) == 3
    assert "gone.mp4: no such" in errors[0] and "no frame 5" in errors[1]
