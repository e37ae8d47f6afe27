import base64

import numpy as np

from helpers.page_faces import make_identified
from onelook.data.image_io import decode_image
from onelook.face_quality import DEFAULT_UNUSABLE, Quality
from onelook.page.photos import make_displayed_photo, reading_order


def test_faces_are_read_row_by_row() -> None:
    boxes = np.array([[300, 210, 400, 310], [0, 40, 100, 140], [200, 0, 300, 100], [100, 200, 200, 300.0]])
    assert reading_order(boxes) == [1, 2, 3, 0]
    assert reading_order(np.empty((0, 4))) == []


def test_a_small_face_behind_a_large_one_starts_a_row_of_its_own() -> None:
    boxes = np.array([[0, 100, 200, 300], [300, 150, 340, 190.0]])
    assert reading_order(boxes) == [1, 0]


def test_a_large_photo_is_scaled_down_and_its_boxes_stay_in_original_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1000, 3200, 3), np.uint8)
    blurred = Quality(score=1, size=100, sharpness=0.0)
    faces = [
        make_identified(box=np.array([1000.0, 0, 1200, 200])),
        make_identified(box=np.array([0.0, 0, 200, 200]), quality=blurred),
    ]
    photo = make_displayed_photo("key", image, "a.jpg", faces, DEFAULT_UNUSABLE)
    assert (photo.width, photo.height) == (3200, 1000)
    assert decode_image(photo.jpeg, "photo").shape == (500, 1600, 3)
    assert decode_image(photo.preview, "preview").shape == (125, 400, 3)
    assert [(face.key, face.identified.box[0]) for face in photo.faces] == [("key-0", 0), ("key-1", 1000)]
    assert [face.problem is None for face in photo.faces] == [False, True]
    assert photo.faces[1].size == 200
    thumbnail = decode_image(base64.b64decode(photo.faces[1].pending.thumbnail), "thumbnail")
    assert thumbnail.shape == (96, 96, 3) and thumbnail.std() > 10
