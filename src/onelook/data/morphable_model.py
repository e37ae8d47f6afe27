"""3D morphable model (3DMM) of face shape and color: PCA of mesh labels.

RetinaFace's dense branch (Deng et al., arXiv 1905.00641, section 3.2) decodes 128 shape and texture parameters of a
licensed model. Here they are the principal components of the training people's meshes and the image colors at their
vertices.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from safetensors.numpy import save

from onelook.data.label_arrays import read_arrays
from onelook.data.manifest import Manifest, Scene
from onelook.errors import DataError
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS, mirror_mesh, mirror_permutation
from onelook.geometry.procrustes import generalized_procrustes

MORPHABLE_MODEL = "morphable_model.safetensors"
"""Name of the model's file in a data folder."""
MAX_FACES = 1000
"""Most faces that the model is fitted to; each counts twice, once mirrored."""
MIN_FACE_SIDE = 48
"""Smallest width and height of a mesh that the model is fitted to, in pixels; smaller faces show little texture."""


class MorphableModel(NamedTuple):
    """Linear face model: mean + sum(parameter x std x component).

    Attributes:
        mean: (468, 6) float32: x, y, z in the frame of `generalized_procrustes`, then R, G, B in 0..1.
        components: (128, 468, 6) float32; those that too few faces leave undetermined are 0.
        std: (128,) float32 standard deviations of the fitted faces along the components, in descending order.
    """

    mean: np.ndarray
    components: np.ndarray
    std: np.ndarray


def select_faces(scenes: Iterable[Scene], meshes: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Select up to `MAX_FACES` faces to fit the model to.

    They are evenly spread over all faces that are large enough.

    Args:
        scenes: training scenes.
        meshes: (faces, 468, 3) by the scene's image, NaN for a face without one.

    Returns:
        Image and mesh (468, 3) of each face.

    Raises:
        DataError: fewer than two faces are large enough.
    """
    usable = [
        (scene.image, mesh)
        for scene in scenes
        for mesh in meshes[scene.image]
        if np.isfinite(mesh).all() and np.ptp(mesh[:, :2], axis=0).min() >= MIN_FACE_SIDE
    ]
    if len(usable) < 2:
        raise DataError(
            f"prepare.morphable_model: {len(usable)} training faces of {MIN_FACE_SIDE} pixels and more have a mesh, at "
            "least 2 are needed; prepare more or larger photos, or set prepare.morphable_model to false"
        )
    return [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, MAX_FACES).astype(int))]


def write_morphable_model(folder: Path, faces: Iterable[tuple[str, np.ndarray]]) -> None:
    """Fit a model to the faces of `select_faces` and write it into the data folder."""
    from onelook.data.image_io import read_image  # with Pillow, which training does not need

    shapes, colors = [], []
    for image, mesh in faces:
        shapes.append(mesh)
        colors.append(sample_colors(read_image(folder / image), mesh))
    (folder / MORPHABLE_MODEL).write_bytes(save(fit_morphable_model(np.array(shapes), np.array(colors))._asdict()))


def sample_colors(image: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Sample an image bilinearly at mesh vertices.

    Args:
        image: RGB (H, W, 3) uint8.
        vertices: (468, 3) in pixels of the image; the nearest pixel counts for one outside it.

    Returns:
        RGB (468, 3) float64 in 0..1.
    """
    points = (vertices[None, :, :2] - 0.5).astype(np.float32)  # OpenCV has pixel centers at integer coordinates
    colors = cv2.remap(image, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return colors[0].astype(np.float64) / 255


def fit_morphable_model(shapes: np.ndarray, colors: np.ndarray) -> MorphableModel:
    """Compute the principal components of face shapes and vertex colors.

    - Every face is used twice, once mirrored, so that the mean is symmetric.
    - Coordinates are weighted so that their total variance equals that of the colors, as in active appearance models
      (Cootes et al. 2001); the components have the weight removed.

    Args:
        shapes: (n, 468, 3) in any position and unit, n >= 2.
        colors: (n, 468, 3) in 0..1.
    """
    from scipy.linalg import eigh  # training, which reads the model, does not need it

    shapes = generalized_procrustes(np.concatenate([shapes, mirror_mesh(shapes, 0.0)]))
    colors = np.concatenate([colors, colors[:, mirror_permutation()]])
    rows = np.concatenate([shapes, colors], axis=2).reshape(len(shapes), -1)
    mean = rows.mean(0)
    variance = ((rows - mean) ** 2).mean(0).reshape(NUM_VERTICES, VERTEX_CHANNELS)
    shape_variance, color_variance = variance[:, :3].sum(), variance[:, 3:].sum()
    has_both = shape_variance > 0 and color_variance > 0
    weight = float(np.sqrt(color_variance / shape_variance)) if has_both else 1.0
    weights = np.tile([weight] * 3 + [1.0] * 3, NUM_VERTICES)
    weighted = (rows - mean) * weights
    # There are fewer faces than columns, so the smaller Gram matrix of the faces is decomposed.
    first = max(0, len(rows) - NUM_SHAPE_PARAMETERS)
    variances, vectors = eigh(weighted @ weighted.T / len(rows), subset_by_index=[first, len(rows) - 1])
    variances, vectors = variances[::-1], vectors[:, ::-1]
    is_significant = variances > variances[0] * 1e-9
    directions = (vectors[:, is_significant].T @ weighted) / np.sqrt(variances[is_significant] * len(rows))[:, None]
    # The sign of a component is arbitrary: its largest entry is made positive, so that equal faces give equal models.
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])
    components = np.zeros((NUM_SHAPE_PARAMETERS, NUM_VERTICES * VERTEX_CHANNELS), np.float32)
    components[: len(directions)] = directions * signs[:, None] / weights
    std = np.zeros(NUM_SHAPE_PARAMETERS, np.float32)
    std[: len(directions)] = np.sqrt(variances[is_significant])
    shape = (-1, NUM_VERTICES, VERTEX_CHANNELS)
    return MorphableModel(mean.astype(np.float32).reshape(shape)[0], components.reshape(shape), std)


def read_morphable_model(manifest: Manifest) -> MorphableModel | None:
    """Read the morphable model of a data folder, or return None without one.

    Raises:
        DataError: the file is damaged.
    """
    arrays = read_arrays(manifest, MORPHABLE_MODEL, set(MorphableModel._fields))
    return None if arrays is None else MorphableModel(**arrays)
