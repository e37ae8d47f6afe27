"""Cutting unknown faces out of photos and videos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.painted import COLORS, SIDE, paint
from onelook.data.image_io import read_image, write_image
from onelook.errors import OnelookError
from onelook.gallery.face_quality import Quality
from onelook.media.unknown_faces import LEAST_SCORE, UnknownFace, crop, cut_out

GOOD = Quality(score=1, size=100, sharpness=1)
NOBODY = np.empty((0, 4))


def numbered(height: int, width: int) -> np.ndarray:
    """A photo whose pixels tell where they are."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)


def place(picture: np.ndarray) -> tuple[int, int, int, int]:
    """x1 y1 x2 y2 of a piece of a numbered photo."""
    return (*map(int, picture[0, 0, 1::-1]), *(int(c) + 1 for c in picture[-1, -1, 1::-1]))


def unnamed(source: Path, frame: int | None = None, left: float = 10, row: int = 0) -> UnknownFace:
    return UnknownFace(row, source, frame, np.array([left, 10, left + SIDE, 10 + SIDE]), NOBODY, GOOD)


def test_a_face_alone_is_cut_out_with_a_wide_margin_inside_the_photo() -> None:
    photo = numbered(200, 250)
    assert place(crop(photo, np.array([100.0, 80, 120, 110]), NOBODY)) == (84, 56, 136, 134)
    assert place(crop(photo, np.array([-5.0, 180, 15, 210]), NOBODY)) == (0, 156, 31, 200)


def test_the_margin_is_as_wide_as_leaves_the_neighbors_out() -> None:
    photo, box = numbered(200, 250), np.array([100.0, 80, 120, 110])

    def right(left: float) -> int:
        neighbor = np.array([[left, 80, left + 20, 110]])
        return place(crop(photo, box, neighbor))[2]

    assert right(136) == 136, "it begins where the widest margin ends"
    assert right(131) == 136, "a quarter of it is a sliver"
    assert right(130) == 132, "0.8 would show 6 of its 20 pixels, 0.6 shows 2"
    assert right(119) == 124, "0.2"
    assert right(100) == 122, "upon it: a tenth at least"


def test_clear_faces_alone_are_grouped() -> None:
    face = unnamed(Path("a.jpg"))
    poor = [{"score": LEAST_SCORE - 0.01}, {"size": 31.0}, {"sharpness": 0.1}]
    assert face.usable
    for change in poor:
        quality = GOOD.model_copy(update=change)
        assert not UnknownFace(0, face.source, None, face.box, NOBODY, quality).usable


def test_faces_are_cut_out_of_their_frames_and_photos(tmp_path: Path, video: Callable[..., Path]) -> None:
    film = video("a.mp4", [paint((1 + t % 4, 10, 10)) for t in range(8)])
    write_image(tmp_path / "b.png", paint((1, 10, 10), (2, 100, 10)))
    faces = [
        unnamed(tmp_path / "b.png", left=100, row=7),
        *(unnamed(film, frame=frame, row=row) for row, frame in enumerate((5, 2, 2, 7))),
        unnamed(tmp_path / "b.png", row=8),
    ]
    pictures = dict(cut_out(faces))
    assert len(pictures) == 6
    expected = [2, 1 + 5 % 4, 1 + 2, 1 + 2, 1 + 7 % 4, 1]
    for face, identity in zip(faces, expected, strict=True):
        picture = pictures[face]
        assert isinstance(picture, np.ndarray)
        left = round(min(face.box[0], 0.8 * SIDE))  # in the picture
        middle = picture[20:30, left + 10 : left + 20].mean(axis=(0, 1))
        np.testing.assert_allclose(middle, COLORS[identity], atol=25)
    np.testing.assert_array_equal(pictures[faces[-1]], crop(read_image(tmp_path / "b.png"), faces[-1].box, NOBODY))


@pytest.mark.parametrize("frame", [None, 3])
def test_what_cannot_be_cut_out_is_told_and_the_rest_goes_on(
    tmp_path: Path, video: Callable[..., Path], frame: int | None
) -> None:
    write_image(tmp_path / "z.png", paint((1, 10, 10)))
    gone = unnamed(tmp_path / "gone.mp4", frame)
    short = unnamed(video("short.mp4", [paint()] * 2), 5)
    outcomes = dict(cut_out([gone, short, unnamed(tmp_path / "z.png", row=1)]))
    problems = [str(each) for each in outcomes.values() if isinstance(each, OnelookError)]
    assert len(problems) == 2 and len(outcomes) == 3
    assert "gone.mp4: no such" in problems[0] and "no frame 5" in problems[1]
