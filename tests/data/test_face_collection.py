import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.face_collection import (
    COUNTS,
    CROP_SIZE,
    FaceSource,
    collect_faces,
    embed_photos,
    find_face,
)
from onelook.data.readers.face_crops import write_extra_faces
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.geometry.alignment import CROP_SIZE as TEMPLATE_SIZE
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.settings import ExtraFacesSettings

COLORS = {"red": (220, 40, 40), "green": (40, 220, 40), "blue": (40, 40, 220)}


def paint_photo(path: Path, color: str | None, side: int = 60, size: int = 200) -> None:
    """Write a gray photo with a square "face" of a color in the middle."""
    photo = np.full((size, size, 3), 100, np.uint8)
    if color is not None:
        corner = (size - side) // 2
        photo[corner : corner + side, corner : corner + side] = COLORS[color]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))


def detect_squares(image: np.ndarray) -> Detections:
    """Detect the colored square of an image, with the landmarks of an upright face."""
    colored = np.argwhere(np.ptp(image.astype(int), axis=2) > 90)
    if len(colored) < 20:
        return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)), np.zeros((0, 0)))
    (top, left), (bottom, right) = colored.min(0), colored.max(0) + 1
    box = np.array([left, top, right, bottom], np.float32)
    landmarks = REFERENCE_LANDMARKS * ((right - left) / TEMPLATE_SIZE) + box[:2]
    return Detections(box[None], np.array([0.9]), landmarks[None], np.zeros((1, 0)))


def embed_colors(images: Sequence[np.ndarray], landmarks: np.ndarray) -> np.ndarray:
    """Embed a face as the color of its nose, without its gray part."""
    noses = [
        image[int(y), int(x)].astype(np.float32) - 40 for image, (x, y) in zip(images, landmarks[:, 2], strict=True)
    ]
    return np.stack([nose / np.linalg.norm(nose) for nose in noses])


@pytest.fixture
def source(tmp_path: Path) -> FaceSource:
    photos = tmp_path / "photos"
    paint_photo(photos / "a/1.png", "red")
    paint_photo(photos / "a/2.png", "green", side=190)
    paint_photo(photos / "b/3.png", None)
    paint_photo(photos / "b/4.png", "blue", side=12)
    paint_photo(photos / "b/5.png", "blue", size=900, side=400)
    (photos / "b/6.png").write_bytes(b"not a photo")
    (photos / "b/notes.txt").write_text("no photo")
    return FaceSource("painted", photos, "*/*.png", "none")


def test_outcomes_are_counted_and_evaluation_people_left_out(tmp_path: Path, source: FaceSource) -> None:
    paint_photo(tmp_path / "evaluation/x.png", "green")
    excluded = embed_photos([tmp_path / "evaluation/x.png"], detect_squares, embed_colors)
    counts = collect_faces(source, tmp_path / "out", detect_squares, embed_colors, excluded)
    assert counts == {"taken": 2, "excluded": 1, "small": 1, "no_face": 1, "damaged": 1}
    entry = json.loads((tmp_path / "out" / COUNTS).read_text())["painted"]
    assert entry == {"pattern": "*/*.png", "terms": "none", "photos": 6, **counts}
    assert sorted(path.name for path in (tmp_path / "out/painted/images").iterdir()) == ["000000.jpg", "000004.jpg"]


def test_the_set_is_one_of_the_extra_faces(tmp_path: Path, source: FaceSource) -> None:
    collect_faces(source, tmp_path / "out", detect_squares, embed_colors, np.zeros((0, 3), np.float32))
    (tmp_path / "scenes").mkdir()
    scenes = list(write_extra_faces(tmp_path / "scenes", ExtraFacesSettings(path=str(tmp_path / "out"))))
    assert [scene.source for scene in scenes] == [f"painted, 00000{number}.jpg" for number in (0, 1, 4)]
    for scene, size in zip(scenes, (60, 110, 110), strict=True):
        assert (scene.width, scene.height) == (CROP_SIZE, CROP_SIZE)
        assert scene.faces[0].size == pytest.approx(size, rel=0.05)
        image = cv2.imread(str(tmp_path / "scenes" / scene.image), cv2.IMREAD_COLOR_RGB)
        left, top, right, bottom = scene.faces[0].box.round().astype(int)
        inside = image[top + 3 : bottom - 3, left + 3 : right - 3]
        assert np.ptp(inside.mean((0, 1))) > 90 and inside.std(axis=(0, 1)).max() < 10


def test_an_interrupted_collection_continues_to_the_same_files(tmp_path: Path, source: FaceSource) -> None:
    nobody = np.zeros((0, 3), np.float32)
    collect_faces(source, tmp_path / "full", detect_squares, embed_colors, nobody)
    calls: list[int] = []

    def detect_some(image: np.ndarray) -> Detections:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return detect_squares(image)

    with pytest.raises(KeyboardInterrupt):
        collect_faces(source, tmp_path / "parts", detect_some, embed_colors, nobody)
    journal = tmp_path / "parts/painted/journal.jsonl"
    assert len(journal.read_text().splitlines()) == 2
    with journal.open("a") as stream:
        stream.write('{"file": "torn')
    collect_faces(source, tmp_path / "parts", detect_some, embed_colors, nobody)
    assert len(calls) == 3 + 3  # the last of the six photos is damaged
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")) for name in ("full", "parts")
    ]
    assert files[0] == files[1]
    for file in files[0]:
        one, other = tmp_path / "full" / file, tmp_path / "parts" / file
        assert one.is_dir() or one.read_bytes() == other.read_bytes()


def test_a_face_is_found_at_the_place_where_it_is(tmp_path: Path) -> None:
    paint_photo(tmp_path / "photo.png", "red", size=1000, side=300)
    image = cv2.imread(str(tmp_path / "photo.png"), cv2.IMREAD_COLOR_RGB)
    face = find_face(image, detect_squares)
    assert face is not None
    np.testing.assert_allclose(face.box, [350, 350, 650, 650], atol=8)
    np.testing.assert_allclose(face.landmarks, REFERENCE_LANDMARKS * 300 / TEMPLATE_SIZE + 350, atol=8)


def test_a_pattern_without_photos_is_refused(tmp_path: Path, source: FaceSource) -> None:
    missing = FaceSource("none", source.folder, "*.tiff", "none")
    with pytest.raises(DataError, match=r"no file fits '\*\.tiff'"):
        collect_faces(missing, tmp_path / "out", detect_squares, embed_colors, np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("row", [{}, {"file": "a"}, {"file": 1, "outcome": "small"}, {"file": "a", "outcome": "taken"}])
def test_a_damaged_journal_is_refused_in_one_line(tmp_path: Path, source: FaceSource, row: dict[str, object]) -> None:
    journal = tmp_path / "out/painted/journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"file": "a/1.png", "outcome": "small"}\n' + json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"journal\.jsonl: line 2 is damaged; delete the file to begin anew$"):
        collect_faces(source, tmp_path / "out", detect_squares, embed_colors, np.zeros((0, 3), np.float32))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not UTF-8")
def test_a_photo_whose_name_is_not_utf8_is_collected_once(tmp_path: Path, source: FaceSource) -> None:
    (source.folder / "a/1.png").rename(os.fsdecode(bytes(source.folder / "a") + b"/\xff.png"))
    for _ in range(2):
        collect_faces(source, tmp_path / "out", detect_squares, embed_colors, np.zeros((0, 3), np.float32))
    rows = (tmp_path / "out/painted/faces.csv").read_text().splitlines()
    assert [row.rsplit(",", 1)[1] for row in rows[1:]] == ["a/2.png", "a/\\xff.png", "b/5.png"]
