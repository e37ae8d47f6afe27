"""What faces differ in, learned from the labeled meshes of the training people: the basis of the dense branch.

RetinaFace's dense branch (Deng et al., arXiv 1905.00641, section 3.2) starts from 128 shape-and-texture parameters of a
licensed model; here they are principal components of meshes and the photos' colors at their vertices.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from safetensors.numpy import save
from scipy.linalg import eigh

from onelook.data.image_io import read_image
from onelook.data.label_arrays import read_arrays
from onelook.data.manifest import Manifest, Scene
from onelook.errors import DataError
from onelook.geometry.mesh import COORDINATES_AND_COLORS, PARAMETERS, VERTICES, mirror_mesh, mirror_permutation
from onelook.geometry.procrustes import generalized_procrustes

MORPHABLE_MODEL = "basis.safetensors"
FACES = 1000
"""Faces the components are learned from, at most; each counts twice, once mirrored."""
SMALLEST = 48
"""Side of the smallest of them, in pixels: smaller faces show no texture."""


class MorphableModel(NamedTuple):
    """A face is mean + sum of parameter x deviation x component.

    mean: (468, 6) float32, in the frame of `generalized_procrustes`. components: (128, 468, 6) float32, 0 where there were too
    few faces. deviations: (128,) float32, standard deviations of the training faces along them, largest first.
    """

    mean: np.ndarray
    components: np.ndarray
    deviations: np.ndarray


def choose_faces(scenes: Iterable[Scene], meshes: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """The faces a basis is learned from, evenly spread over all that are large enough: image and mesh (468, 3).

    Args:
        scenes: of training people alone.
        meshes: (faces, 468, 3) by the image of each scene, NaN where there is none.

    Raises:
        DataError: there are fewer than two.
    """
    usable = [
        (scene.image, mesh)
        for scene in scenes
        for mesh in meshes[scene.image]
        if np.isfinite(mesh).all() and np.ptp(mesh[:, :2], axis=0).min() >= SMALLEST
    ]
    if len(usable) < 2:
        raise DataError(
            f"prepare.morphable_model: {len(usable)} training faces of {SMALLEST} pixels and more have a mesh, and two are the "
            "least to learn from; prepare more or larger photos, or set basis: false"
        )
    return [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, FACES).astype(int))]


def write_morphable_model(folder: Path, faces: Iterable[tuple[str, np.ndarray]]) -> None:
    """Learn a basis from faces, given by `choose_faces`, and write it beside their photos."""
    shapes, colors = [], []
    for image, mesh in faces:
        shapes.append(mesh)
        colors.append(sample_colors(read_image(folder / image), mesh))
    (folder / MORPHABLE_MODEL).write_bytes(save(fit_morphable_model(np.array(shapes), np.array(colors))._asdict()))


def sample_colors(photo: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """RGB (468, 3) in 0..1 of a photo (H, W, 3) uint8 at vertices (468, 3) in its pixels; bilinear."""
    places = (vertices[None, :, :2] - 0.5).astype(np.float32)  # OpenCV puts pixel centers at whole numbers
    colors = cv2.remap(photo, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return colors[0].astype(np.float64) / 255


def fit_morphable_model(shapes: np.ndarray, colors: np.ndarray) -> MorphableModel:
    """Principal components of faces and their mirror images, so that the mean is as symmetric as the twins allow.

    Shape and color are of different units: as in active appearance models (Cootes et al. 2001) coordinates are
    weighted so that all of them together vary as much as all colors do; the components have the weight taken off.

    Args:
        shapes: (n, 468, 3) in any position and unit, n >= 2.
        colors: (n, 468, 3) in 0..1.
    """
    shapes = generalized_procrustes(np.concatenate([shapes, mirror_mesh(shapes, 0.0)]))
    colors = np.concatenate([colors, colors[:, mirror_permutation()]])
    rows = np.concatenate([shapes, colors], axis=2).reshape(len(shapes), -1)
    mean = rows.mean(0)
    spread = ((rows - mean) ** 2).mean(0).reshape(VERTICES, COORDINATES_AND_COLORS)
    of_shape, of_color = spread[:, :3].sum(), spread[:, 3:].sum()
    weight = float(np.sqrt(of_color / of_shape)) if of_shape > 0 and of_color > 0 else 1.0
    weights = np.tile([weight] * 3 + [1.0] * 3, VERTICES)
    weighted = (rows - mean) * weights
    # Of faces there are fewer than of columns: the components are found among the faces.
    first = max(0, len(rows) - PARAMETERS)
    variances, found = eigh(weighted @ weighted.T / len(rows), subset_by_index=[first, len(rows) - 1])
    variances, found = variances[::-1], found[:, ::-1]
    kept = variances > variances[0] * 1e-9
    directions = (found[:, kept].T @ weighted) / np.sqrt(variances[kept] * len(rows))[:, None]
    # Either sign is right; that of the largest number is made positive, so that the same faces give the same basis.
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])
    components = np.zeros((PARAMETERS, VERTICES * COORDINATES_AND_COLORS), np.float32)
    components[: len(directions)] = directions * signs[:, None] / weights
    deviations = np.zeros(PARAMETERS, np.float32)
    deviations[: len(directions)] = np.sqrt(variances[kept])
    shape = (-1, VERTICES, COORDINATES_AND_COLORS)
    return MorphableModel(mean.astype(np.float32).reshape(shape)[0], components.reshape(shape), deviations)


def read_morphable_model(manifest: Manifest) -> MorphableModel | None:
    """The basis beside a manifest, or None where none was learned.

    Raises:
        DataError: the file is damaged.
    """
    arrays = read_arrays(manifest, MORPHABLE_MODEL, set(MorphableModel._fields))
    return None if arrays is None else MorphableModel(**arrays)
