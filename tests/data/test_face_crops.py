from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.face_crops import (
    FACE_CROP_LABELS,
    FACE_CROPS,
    FACE_FRACTION,
    cut_face,
    read_face_crops,
    write_face_crops,
)
from onelook.data.manifest import Face, Manifest, Scene, missing_landmarks
from onelook.errors import DataError
from onelook.geometry.alignment import REFERENCE_LANDMARKS

SIDE = 96


@pytest.mark.parametrize("center", [(100, 100), (5, 190), (-30, 250)])
@pytest.mark.parametrize("side", [40.0, 300.0])
def test_labels_of_a_crop_lie_on_its_face(center: tuple[float, float], side: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    x, y = center
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    crop, face = cut_face(image, Face(box, REFERENCE_LANDMARKS.copy()), SIDE)
    assert crop.shape == (SIDE, SIDE, 3)
    assert face.size == pytest.approx(min(side, FACE_FRACTION * SIDE), rel=0.03)
    if side < FACE_FRACTION * SIDE:  # not scaled: pixels are those of the image
        px, py = face.box.reshape(2, 2).mean(0)
        if 0 <= x < 200 and 0 <= y < 200:
            np.testing.assert_array_equal(crop[int(py), int(px)], image[int(y), int(x)])


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Two scenes of noise with three faces, one of them without landmarks."""
    rng = np.random.default_rng(0)
    scenes = []
    for number, counts in enumerate((2, 1)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), rng.integers(0, 256, (150, 150, 3), dtype=np.uint8))
        faces = []
        for i in range(counts):
            landmarks = (REFERENCE_LANDMARKS / 4 + 60).astype(np.float32) if i == 0 else missing_landmarks()
            faces.append(Face(np.array([60, 60, 90, 90], np.float32), landmarks))
        scenes.append(Scene(f"{number}.png", 150, 150, "train", "scene", tuple(faces), "painted", "none"))
    return Manifest(tmp_path, tuple(scenes))


def test_written_crops_are_those_of_the_photos(manifest: Manifest) -> None:
    assert read_face_crops(manifest) is None
    write_face_crops(manifest.root, manifest.scenes, 3, SIDE)
    crops = read_face_crops(manifest)
    assert crops is not None and isinstance(crops.images, np.memmap) and crops.images.shape == (3, SIDE, SIDE, 3)
    for row, scene in ((0, manifest.scenes[0]), (2, manifest.scenes[1])):
        image = cv2.imread(str(manifest.path(scene)), cv2.IMREAD_COLOR_RGB)
        expected, face = cut_face(image, scene.faces[0], SIDE)
        np.testing.assert_array_equal(crops.images[row], expected)
        np.testing.assert_allclose(crops.boxes[row], face.box)
        np.testing.assert_allclose(crops.landmarks[row], face.landmarks)
    assert np.isnan(crops.landmarks[1]).all() and not crops.images[1].any()


@pytest.mark.parametrize("file", [FACE_CROPS, FACE_CROP_LABELS])
def test_damaged_crops_and_those_of_other_faces_are_refused(manifest: Manifest, file: str) -> None:
    write_face_crops(manifest.root, manifest.scenes, 3, SIDE)
    with pytest.raises(DataError, match="the manifest has 1 faces"):
        read_face_crops(Manifest(manifest.root, manifest.scenes[1:]))
    (manifest.root / file).write_bytes((manifest.root / file).read_bytes()[:40])
    with pytest.raises(DataError, match="damaged"):
        read_face_crops(manifest)
