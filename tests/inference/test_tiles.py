"""Small faces of large photos are found in overlapping tiles, each once."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.portraits import portrait
from onelook.geometry.boxes import box_sizes
from onelook.inference.tiles import make_tiles
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

# The faces of the ORL portraits, 296 pixels wide, are about 200 pixels large.
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=320, face_size=64)


def wide_photo(width: int, side: int, lefts: list[int]) -> np.ndarray:
    """Return a photo of portraits of one person, `side` pixels wide, at columns `lefts`."""
    image = np.full((240, width, 3), 120, np.uint8)
    face = cv2.resize(portrait(3, 1), (side, round(side * 336 / 296)), interpolation=cv2.INTER_AREA)
    for left in lefts:
        image[60 : 60 + len(face), left : left + side] = face
    return image


def test_faces_that_the_shrunk_photo_hides_are_found_once(released: TorchPredictor) -> None:
    # Shrunk to 320 pixels the faces have 7 pixels. The tiles of 320 pixels meet every 192 pixels.
    lefts = [10, 150, 290, 450, 700, 1000, 1300, 1700, 2100, 2460]
    photo = wide_photo(2560, 96, lefts)
    found = released.predict([photo], DETECT)[0]
    assert len(found) == len(lefts)
    np.testing.assert_allclose(np.sort(found.boxes[:, [0, 2]].mean(1)), np.array(lefts) + 48, atol=6)
    alone = released.predict([photo[:, :320]], DETECT)[0].embeddings[0]
    assert (found.embeddings @ alone).min() > 0.9


@pytest.mark.parametrize("left", range(180, 320, 20))
def test_a_face_on_a_seam_is_found_once(released: TorchPredictor, left: int) -> None:
    # Faces of 60 pixels, of 30 in the first pass; the tiles meet around the columns 240 and 400.
    found = released.predict([wide_photo(640, 90, [left])], DETECT)[0]
    assert len(found) == 1
    assert found.boxes[0, [0, 2]].mean() == pytest.approx(left + 45, abs=6)


def test_a_small_face_is_embedded_at_a_finer_level(released: TorchPredictor) -> None:
    photo = wide_photo(1280, 150, [600])  # a face of 100 pixels, of 25 in the first pass
    detect = DETECT.model_copy(update={"face_size": 128})
    found = released.predict([photo], detect)[0]
    near = released.predict([photo[:, 500:820]], detect)[0]
    assert len(found) == len(near) == 1 and box_sizes(found.boxes)[0] > 80
    assert found.embeddings[0] @ near.embeddings[0] > 0.95


def test_tiles_cover_the_photo_where_faces_may_be_larger_than_a_tile(released: TorchPredictor) -> None:
    detect = DETECT.model_copy(update={"face_size": 8192})
    found = released.predict([wide_photo(1280, 96, [40, 1150])], detect)[0]
    np.testing.assert_allclose(np.sort(found.boxes[:, [0, 2]].mean(1)), [88, 1198], atol=6)


def test_a_photo_of_the_size_of_a_tile_is_not_tiled() -> None:
    (tile,) = make_tiles(300, 400, 400, 100)
    assert (tile.rows, tile.columns) == (slice(0, 300), slice(0, 400))


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(20, 700), st.data())
def test_every_point_has_one_tile_that_holds_its_surroundings(
    height: int, width: int, side: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, side // 2))
    tiles = make_tiles(height, width, side, overlap)
    assert len({(tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start) for tile in tiles}) == 1
    x, y = (data.draw(st.floats(0, length)) for length in (width, height))
    (owner,) = [tile for tile in tiles if tile.contains(np.array([[x, y, x, y]]))[0]]
    for point, part, length in ((x, owner.columns, width), (y, owner.rows, height)):
        assert 0 <= part.start < part.stop <= length and part.stop - part.start <= side
        # Half of the overlap, less half a pixel of rounding, on each side where the image goes on.
        assert part.start == 0 or point - part.start >= overlap / 2 - 0.5
        assert part.stop == length or part.stop - point >= overlap / 2 - 0.5
