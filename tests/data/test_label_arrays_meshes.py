from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import write_image
from onelook.data.label_arrays import MESHES, read_meshes, write_meshes
from onelook.data.manifest import Face, Manifest, Scene
from onelook.errors import DataError
from onelook.geometry.mesh import NUM_VERTICES


def manifest(root: Path, *counts: int) -> Manifest:
    """Images with `counts` faces; the brightness of an image is its number."""
    scenes = []
    for number, count in enumerate(counts):
        write_image(root / f"{number}.png", np.full((20, 30, 3), number, np.uint8))
        faces = tuple(Face(np.array([i, 0, i + 5, 5], np.float32)) for i in range(count))
        scenes.append(Scene(f"{number}.png", 30, 20, "train", "scene", faces, "", ""))
    return Manifest(root, tuple(scenes))


def predict_mesh(photo: np.ndarray, box: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
    """A mesh whose coordinates encode image and face; the second face of each has none."""
    return None if box[0] == 1 else np.full((NUM_VERTICES, 3), photo[0, 0, 0] * 10 + box[0], np.float32)


def test_every_face_has_its_own_mesh(tmp_path: Path) -> None:
    scenes = manifest(tmp_path, 2, 0, 3)
    assert read_meshes(scenes) is None
    write_meshes(tmp_path, scenes.scenes, predict_mesh)
    meshes = read_meshes(scenes)
    assert meshes is not None
    assert {name: rows[:, 0, 0].tolist() for name, rows in meshes.items() if name != "2.png"} == {
        "0.png": pytest.approx([0, np.nan], nan_ok=True),
        "1.png": [],
    }
    assert meshes["2.png"][:, 7, 2].tolist() == pytest.approx([20, np.nan, 22], nan_ok=True)


def test_a_damaged_file_and_one_of_other_faces_are_refused(tmp_path: Path) -> None:
    scenes = manifest(tmp_path, 2, 1)
    write_meshes(tmp_path, scenes.scenes, predict_mesh)
    with pytest.raises(DataError, match="the manifest has"):
        read_meshes(Manifest(tmp_path, scenes.scenes[:1]))
    whole = (tmp_path / MESHES).read_bytes()
    (tmp_path / MESHES).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"meshes.safetensors: damaged; run"):
        read_meshes(scenes)
