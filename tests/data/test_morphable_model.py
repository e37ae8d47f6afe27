from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.domes import dome, painted
from onelook.data.manifest import Face, Manifest, Scene
from onelook.data.morphable_model import (
    MORPHABLE_MODEL,
    fit_morphable_model,
    read_morphable_model,
    sample_colors,
    select_faces,
    write_morphable_model,
)
from onelook.errors import DataError
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS, mirror_permutation

FACE = Face(np.array([0, 0, 60, 60], np.float32), np.full((5, 2), np.nan, np.float32))


def faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Domes, each larger or smaller, elsewhere, wider or narrower and redder or less red; in pixels and 0..1."""
    rng = np.random.default_rng(0)
    wide, red = rng.standard_normal((2, count, 1))
    shapes = np.repeat(dome()[None], count, 0)
    shapes[:, :, 0] *= 1 + 0.1 * wide
    colors = np.repeat(painted(dome())[None], count, 0)
    colors[:, :, 0] += 0.05 * red
    return shapes * rng.uniform(20, 60, (count, 1, 1)) + rng.uniform(50, 90, (count, 1, 3)), colors


def test_the_model_reconstructs_the_faces_it_was_fitted_to() -> None:
    """Two mirror images of six faces vary in eleven ways at most; the parameters have mean square 1."""
    shapes, colors = faces(6)
    model = fit_morphable_model(shapes, colors)
    assert model.mean.shape == (NUM_VERTICES, VERTEX_CHANNELS) and model.components.shape == (
        NUM_SHAPE_PARAMETERS,
        NUM_VERTICES,
        VERTEX_CHANNELS,
    )
    arrays = [model.components, model.std]
    assert not any(part[11:].any() for part in arrays)
    assert all(part.dtype == np.float32 for part in (*arrays, model.mean))
    assert (np.diff(model.std) <= 0).all()
    # Colors are in no frame: the difference from the mean is a sum of components.
    directions = (model.components[:11] * model.std[:11, None, None]).reshape(11, -1).astype(np.float64)
    for color in colors:
        for side in (color, color[mirror_permutation()]):
            change = (side - model.mean[:, 3:]).ravel()
            of_color = directions.reshape(11, NUM_VERTICES, VERTEX_CHANNELS)[:, :, 3:].reshape(11, -1)
            found = np.linalg.lstsq(of_color.T, change, rcond=None)[0]
            np.testing.assert_allclose(of_color.T @ found, change, atol=1e-4)


def test_components_do_not_depend_on_the_units_of_shape_and_color() -> None:
    """Colors counted in 0..1 or in 0..100 give the same deviations in those units and the same shapes."""
    shapes, colors = faces(8)
    small, large = fit_morphable_model(shapes, colors), fit_morphable_model(shapes, colors * 100)
    np.testing.assert_allclose(large.std[:4] / small.std[:4], 100, rtol=1e-3)
    moves = [each.components[:3] * each.std[:3, None, None] for each in (small, large)]
    np.testing.assert_allclose(moves[1][:, :, :3], moves[0][:, :, :3], atol=1e-4)
    np.testing.assert_allclose(moves[1][:, :, 3:], moves[0][:, :, 3:] * 100, atol=1e-2)


def test_the_mean_face_is_its_own_mirror_image() -> None:
    mean = fit_morphable_model(*faces(5)).mean
    np.testing.assert_allclose(mean[mirror_permutation(), :3], mean[:, :3] * (-1, 1, 1), atol=1e-5)
    np.testing.assert_allclose(mean[mirror_permutation(), 3:], mean[:, 3:], atol=1e-5)


def test_colors_are_sampled_bilinearly_at_the_vertices() -> None:
    photo = np.zeros((3, 4, 3), np.uint8)
    photo[1, 1], photo[1, 2] = (100, 0, 0), (200, 0, 51)
    mesh = np.full((NUM_VERTICES, 3), 1.5)
    mesh[1] = (2.0, 1.5, 7)  # halfway between the two centers
    mesh[2] = (-9, -9, 0)  # outside, the nearest pixel counts
    colors = sample_colors(photo, mesh)
    np.testing.assert_allclose(colors[0], [100 / 255, 0, 0])
    np.testing.assert_allclose(colors[1], [150 / 255, 0, 25.5 / 255], atol=0.51 / 255)
    assert not colors[2].any()


def scenes_with(count: int) -> list[Scene]:
    return [Scene(f"{i}.png", 200, 200, "train", "scene", (FACE,), "painted", "none") for i in range(count)]


def test_a_written_model_is_read_back_and_small_or_unlabeled_faces_are_skipped(tmp_path: Path) -> None:
    shapes, _ = faces(4)
    scenes = scenes_with(4)
    for scene in scenes:
        cv2.imwrite(str(tmp_path / scene.image), np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8))
    meshes = {scene.image: shape[None] for scene, shape in zip(scenes, shapes, strict=True)}
    meshes["1.png"] = np.full_like(meshes["1.png"], np.nan)
    meshes["2.png"] = meshes["2.png"] * 47 / np.ptp(meshes["2.png"][0, :, 0])
    meshes["0.png"] = meshes["0.png"] * 50 / np.ptp(meshes["0.png"][0, :, :2], axis=0).min()
    meshes["3.png"] = meshes["3.png"] * 50 / np.ptp(meshes["3.png"][0, :, :2], axis=0).min()
    chosen = select_faces(scenes, meshes)
    assert [image for image, _ in chosen] == ["0.png", "3.png"]
    manifest = Manifest(tmp_path, tuple(scenes))
    assert read_morphable_model(manifest) is None
    write_morphable_model(tmp_path, chosen)
    model = read_morphable_model(manifest)
    assert model is not None and model.std[0] > 0
    bytes_of = (tmp_path / MORPHABLE_MODEL).read_bytes()
    write_morphable_model(tmp_path, chosen)
    assert (tmp_path / MORPHABLE_MODEL).read_bytes() == bytes_of
    (tmp_path / MORPHABLE_MODEL).write_bytes(bytes_of[:100])
    with pytest.raises(DataError, match="damaged; run"):
        read_morphable_model(manifest)


def test_one_face_is_too_few() -> None:
    scenes = scenes_with(1)
    shape = faces(1)[0]
    shape *= 99 / np.ptp(shape[0, :, :2], axis=0).min()
    with pytest.raises(DataError, match="1 training faces of 48 pixels"):
        select_faces(scenes, {"0.png": shape})
