"""Meshes as labels: one a face, found once, in a file beside the manifest."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from onelook.data.image_io import read_image
from onelook.data.label_arrays import read_rows
from onelook.data.manifest import Manifest, Scene
from onelook.geometry.mesh import VERTICES

MESHES = "meshes.safetensors"

FindMesh = Callable[[np.ndarray, np.ndarray, np.ndarray], "np.ndarray | None"]
"""The mesh (468, 3) in pixels of a photo of the face with a box (4,) and landmarks (5, 2), or None."""


def write_meshes(folder: Path, scenes: Iterable[Scene], find: FindMesh) -> None:
    """Write the meshes (faces, 468, 3) float32 of all faces in order, NaN where there is none."""
    rows: list[np.ndarray] = []
    nothing = np.full((VERTICES, 3), np.nan, np.float32)
    for scene in scenes:
        photo = read_image(folder / scene.image)
        for face in scene.faces:
            found = find(photo, face.box, face.landmarks)
            rows.append(nothing if found is None else found)
    meshes = np.array(rows, np.float32).reshape(-1, VERTICES, 3)
    (folder / MESHES).write_bytes(save({"meshes": meshes}))


def read_meshes(manifest: Manifest) -> dict[str, np.ndarray] | None:
    """Meshes (faces, 468, 3) by the image of each scene, or None where none were labeled.

    Raises:
        DataError: the file is damaged, or of other faces.
    """
    counts = np.cumsum([0, *(len(scene.faces) for scene in manifest.scenes)])
    meshes = read_rows(manifest, MESHES, "meshes", counts[-1])
    if meshes is None:
        return None
    rows = zip(manifest.scenes, counts, strict=False)
    return {scene.image: meshes[row : row + len(scene.faces)] for scene, row in rows}
