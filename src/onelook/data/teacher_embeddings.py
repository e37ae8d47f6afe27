"""What a teacher says of the training faces, computed once: an embedding a face, beside the manifest."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from onelook.data.image_io import read_image
from onelook.data.label_arrays import read_rows
from onelook.data.manifest import Manifest, Scene
from onelook.geometry.alignment import align_crop

TEACHER_EMBEDDINGS = "teachings.safetensors"

EmbedCrop = Callable[[np.ndarray], np.ndarray]
"""Embeddings (n, d) of aligned crops (n, 112, 112, 3) uint8."""


def write_teacher_embeddings(folder: Path, scenes: Iterable[Scene], teach: EmbedCrop) -> None:
    """Write the embeddings (faces, d) float32 of the faces of `training_scenes`, in order; NaN without landmarks."""
    rows: list[np.ndarray] = []
    for scene in scenes:
        photo = read_image(folder / scene.image)
        for face in scene.faces:
            if np.isfinite(face.landmarks).all():
                rows.append(teach(align_crop(photo, face.landmarks)[None])[0])
            else:
                rows.append(np.empty(0, np.float32))
    size = max((len(row) for row in rows), default=0)
    unknown = np.full(size, np.nan, np.float32)
    embeddings = np.array([row if len(row) else unknown for row in rows], np.float32).reshape(len(rows), size)
    (folder / TEACHER_EMBEDDINGS).write_bytes(save({"embeddings": embeddings}))


def read_teacher_embeddings(manifest: Manifest) -> np.ndarray | None:
    """Embeddings (faces, d) of the training faces in the manifest's order, or None where there was no teacher.

    Raises:
        DataError: the file is damaged, or of other faces.
    """
    faces = sum(len(scene.faces) for scene in training_scenes(manifest.scenes))
    return read_rows(manifest, TEACHER_EMBEDDINGS, "embeddings", faces)


def aligned_crops(manifest: Manifest, count: int) -> np.ndarray:
    """Aligned crops (n, 112, 112, 3) uint8 of the first `count` training faces with landmarks, or of as many as are."""
    crops: list[np.ndarray] = []
    for scene in training_scenes(manifest.scenes):
        photo = read_image(manifest.path(scene))
        crops += [align_crop(photo, face.landmarks) for face in scene.faces if np.isfinite(face.landmarks).all()]
        if len(crops) >= count:
            break
    return np.array(crops[:count])


def training_scenes(scenes: Iterable[Scene]) -> list[Scene]:
    """The scenes and crops of the training people, in their order."""
    return [scene for scene in scenes if scene.split == "train" and scene.role != "enroll"]
