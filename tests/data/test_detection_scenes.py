from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.detection_scenes import LABEL_ISSUES, DetectionDataset, DetectionImage, write_detection_scenes
from onelook.data.image_io import read_image, write_image
from onelook.data.manifest import Face
from onelook.data.scene_dataset import read_training_image
from onelook.errors import DataError


def photo(path: Path, *boxes: list[float], ignored: list[list[float]] | None = None, **more: object) -> DetectionImage:
    faces = tuple(Face(np.array(box, np.float32)) for box in boxes)
    unsure = np.array(ignored or [], np.float32).reshape(-1, 4)
    return DetectionImage(path, "test", faces, unsure, "here", "free", **more)  # type: ignore[arg-type]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "one.JPG"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1].tobytes())
    return path


def test_boxes_are_clipped_or_skipped_and_counted(image: Path, tmp_path: Path) -> None:
    good, over, outside, empty, turned = [5, 5, 20, 20], [50, 30, 70, 50], [60, 0, 70, 9], [3, 3, 3, 9], [9, 9, 5, 12]
    reading = DetectionDataset((photo(image, good, over, outside, empty, turned, ignored=[[-4, 2, 9, 8], outside]),))
    (scene,), skipped, counts = write_detection_scenes(tmp_path / "out", reading)
    assert [face.box.tolist() for face in scene.faces] == [good, [50, 30, 60, 40]]
    assert scene.ignored.tolist() == [[0, 2, 9, 8]]
    assert counts == {"boxes.clipped": 2, "boxes.outside": 2, "boxes.empty": 2} and skipped == ()
    assert counts.keys() <= LABEL_ISSUES.keys()
    assert (scene.width, scene.height, scene.split, scene.role) == (60, 40, "test", "scene")


def test_a_jpeg_is_copied_byte_for_byte_and_other_formats_are_encoded(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "two.tiff"
    cv2.imwrite(str(other), np.full((30, 50, 3), (10, 120, 200), np.uint8))
    scenes, _, _ = write_detection_scenes(tmp_path / "out", DetectionDataset((photo(image), photo(other))))
    assert [scene.image for scene in scenes] == ["images/test/scene-00000.jpg", "images/test/scene-00001.jpg"]
    assert (tmp_path / "out" / scenes[0].image).read_bytes() == image.read_bytes()
    assert np.abs(read_image(tmp_path / "out" / scenes[1].image).astype(int) - (200, 120, 10)).max() <= 2


def test_training_reads_a_transparent_png_as_read_image_does(tmp_path: Path) -> None:
    pixels = np.full((20, 20, 4), 90, np.uint8)
    pixels[:10, :, 3], pixels[10:, :, 3] = 0, 255
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    (scene,), _, _ = write_detection_scenes(tmp_path / "out", DetectionDataset((photo(tmp_path / "a.png"),)))
    read = read_training_image(tmp_path / "out" / scene.image)
    np.testing.assert_array_equal(read, read_image(tmp_path / "a.png"))
    assert read[0, 0].tolist() == [255, 255, 255] and read[19, 0].tolist() == [90, 90, 90]


def test_unusable_photos_are_skipped_with_a_message_each(image: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    given = (photo(image), photo(broken), photo(image, size=(40, 60)), photo(image, size=(60, 40)))
    scenes, skipped, _ = write_detection_scenes(tmp_path / "out", DetectionDataset(given))
    assert len(scenes) == 2 and len(skipped) == 2
    assert "broken.jpg: not a photo" in skipped[0] and "one.JPG: is 60x40, its label has 40x60" in skipped[1]
    with pytest.raises(DataError, match="none of the labeled photos is usable") as caught:
        write_detection_scenes(tmp_path / "none", DetectionDataset((photo(broken),)))
    assert "\n" not in str(caught.value)


def test_a_photo_the_camera_turned_is_read_upright_as_its_boxes_are(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 50, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    (scene,), _, _ = write_detection_scenes(
        tmp_path / "out", DetectionDataset((photo(tmp_path / "turned.jpg", [0, 0, 9, 45]),))
    )
    assert (scene.width, scene.height) == (20, 50) and scene.faces[0].box.tolist() == [0, 0, 9, 45]
    # What training reads has the same size.
    assert cv2.imread(str(tmp_path / "out" / scene.image), cv2.IMREAD_COLOR).shape == (50, 20, 3)


def test_valid_labels_give_no_counts(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((40, 40, 3), np.uint8))
    reading = DetectionDataset((photo(tmp_path / "a.png", [0, 0, 40, 40]),), {"photos.missing": 0})
    assert write_detection_scenes(tmp_path / "out", reading)[2] == {}
