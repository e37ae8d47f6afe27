from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.aligned_crops import embed_aligned
from onelook.data.face_dataset import read_aligned_crops
from onelook.data.label_arrays import TEACHER_EMBEDDINGS, read_teacher_embeddings, write_teacher_embeddings
from onelook.data.manifest import Face, Manifest, Scene, Split, select_training_scenes
from onelook.errors import DataError
from onelook.geometry.alignment import REFERENCE_LANDMARKS


def scene(root: Path, name: str, split: Split, *shades: int, hidden: bool = False) -> Scene:
    """A photo 112 pixels high with an upright face of each shade side by side."""
    photo = np.concatenate([np.full((112, 112, 3), shade, np.uint8) for shade in shades], axis=1)
    cv2.imwrite(str(root / f"{name}.png"), photo)
    faces = []
    for i, _ in enumerate(shades):
        landmarks = REFERENCE_LANDMARKS + np.array([112 * i, 0], np.float32)
        points = np.full((5, 2), np.nan, np.float32) if hidden else landmarks
        faces.append(Face(np.array([112 * i, 0, 112 * i + 112, 112], np.float32), points, f"{name}-{i}"))
    return Scene(f"{name}.png", photo.shape[1], 112, split, "scene", tuple(faces), "painted", "none")


def shade_and_count(crops: np.ndarray) -> np.ndarray:
    """Embed a crop as its brightness and 1."""
    return np.stack([crops.mean((1, 2, 3)), np.ones(len(crops))], axis=1).astype(np.float32)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    scenes = (
        scene(tmp_path, "a", "train", 10, 200),
        scene(tmp_path, "b", "test", 50),
        scene(tmp_path, "c", "train", 90, hidden=True),
        scene(tmp_path, "d", "train", 120),
    )
    return Manifest(tmp_path, scenes)


def test_exactly_the_training_faces_have_rows(manifest: Manifest) -> None:
    write_teacher_embeddings(manifest.root, select_training_scenes(manifest.scenes), embed_aligned(shade_and_count))
    teacher_embeddings = read_teacher_embeddings(manifest)
    assert teacher_embeddings is not None
    np.testing.assert_allclose(teacher_embeddings, [[10, 1], [200, 1], [np.nan, np.nan], [120, 1]], atol=1)


def test_a_turned_face_has_the_embedding_of_the_unturned_one(tmp_path: Path) -> None:
    unturned, turned = scene(tmp_path, "unturned", "train", 60), scene(tmp_path, "turned", "train", 200)
    # A turned face may come first, and a face without landmarks gives its turned one no target.
    hidden = scene(tmp_path, "hidden", "train", 30, hidden=True)
    of_hidden = replace(scene(tmp_path, "of_hidden", "train", 40), unturned=hidden.image)
    scenes = [replace(turned, unturned=unturned.image), unturned, hidden, of_hidden]
    write_teacher_embeddings(tmp_path, scenes, embed_aligned(shade_and_count))
    embeddings = read_teacher_embeddings(Manifest(tmp_path, tuple(scenes)))
    np.testing.assert_allclose(embeddings, [[60, 1], [60, 1], [np.nan, np.nan], [np.nan, np.nan]], atol=1)


def test_embeddings_are_reduced_to_components(manifest: Manifest) -> None:
    scenes = select_training_scenes(manifest.scenes)
    write_teacher_embeddings(manifest.root, scenes, embed_aligned(shade_and_count), dim=1)
    np.testing.assert_allclose(read_teacher_embeddings(manifest), [[1], [1], [np.nan], [1]])
    with pytest.raises(DataError, match="3 components of 3 embeddings of 2 numbers"):
        write_teacher_embeddings(manifest.root, scenes, embed_aligned(shade_and_count), dim=3)


def test_without_a_teacher_there_are_no_embeddings(manifest: Manifest) -> None:
    assert read_teacher_embeddings(manifest) is None


def test_embeddings_of_other_faces_and_damaged_ones_are_refused(manifest: Manifest) -> None:
    write_teacher_embeddings(manifest.root, select_training_scenes(manifest.scenes)[:1], embed_aligned(shade_and_count))
    with pytest.raises(DataError, match="the manifest has"):
        read_teacher_embeddings(manifest)
    whole = (manifest.root / TEACHER_EMBEDDINGS).read_bytes()
    for length in range(0, len(whole), 7):
        (manifest.root / TEACHER_EMBEDDINGS).write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            read_teacher_embeddings(manifest)


def test_aligned_crops_are_of_training_faces_alone(manifest: Manifest) -> None:
    crops = read_aligned_crops(manifest, 10)
    assert crops.shape == (3, 112, 112, 3)
    np.testing.assert_allclose(crops.mean((1, 2, 3)), [10, 200, 120], atol=1)
    assert len(read_aligned_crops(manifest, 1)) == 1
