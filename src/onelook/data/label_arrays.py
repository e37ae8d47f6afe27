"""Per-face label arrays beside the manifest: mesh labels and teacher embeddings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from onelook.data.manifest import Manifest, Scene, select_training_scenes
from onelook.data.principal_components import project_to_components
from onelook.errors import DataError
from onelook.geometry.mesh import NUM_VERTICES


def read_arrays(manifest: Manifest, file: str, names: set[str]) -> dict[str, np.ndarray] | None:
    """Read the arrays of a safetensors file beside the manifest.

    Args:
        manifest: manifest of the data folder.
        file: name of the file in the data folder.
        names: names of the arrays that the file must hold, and no others.

    Returns:
        The arrays by name, or None without such a file.

    Raises:
        DataError: the file is damaged.
    """
    path = manifest.root / file
    if not path.is_file():
        return None
    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: damaged; run `dvc repro -f prepare`") from error
    if arrays.keys() != names:
        raise DataError(f"{path}: damaged; run `dvc repro -f prepare`")
    return arrays


def read_rows(manifest: Manifest, file: str, name: str, rows: int) -> np.ndarray | None:
    """Read the only array of a file beside the manifest, with a row per face.

    Returns:
        The array (rows, ...), or None without such a file.

    Raises:
        DataError: the file is damaged or has another number of rows.
    """
    arrays = read_arrays(manifest, file, {name})
    if arrays is None:
        return None
    _check_rows(manifest.root / file, len(arrays[name]), rows)
    return arrays[name]


def _check_rows(path: Path, rows: int, faces: int) -> None:
    if rows != faces:
        raise DataError(f"{path}: {rows} rows, the manifest has {faces} faces; run `dvc repro -f prepare`")


MESHES = "meshes.safetensors"

MeshPredictor = Callable[[np.ndarray, np.ndarray, np.ndarray], "np.ndarray | None"]
"""Maps an image, a box (4,) and landmarks (5, 2) to the mesh (468, 3) in pixels of the image, or None."""


def write_meshes(folder: Path, scenes: Iterable[Scene], predict_mesh: MeshPredictor) -> None:
    """Write the meshes (faces, 468, 3) float32 of all faces in manifest order.

    A face for which `predict_mesh` returns None gets a row of NaN.
    """
    from onelook.data.image_io import read_image  # with Pillow, which training does not need

    rows: list[np.ndarray] = []
    absent = np.full((NUM_VERTICES, 3), np.nan, np.float32)
    for scene in scenes:
        image = read_image(folder / scene.image)
        for face in scene.faces:
            mesh = predict_mesh(image, face.box, face.landmarks)
            rows.append(absent if mesh is None else mesh)
    meshes = np.array(rows, np.float32).reshape(-1, NUM_VERTICES, 3)
    (folder / MESHES).write_bytes(save({"meshes": meshes}))


def read_meshes(manifest: Manifest) -> dict[str, np.ndarray] | None:
    """Read the mesh labels of every scene.

    Returns:
        Meshes (faces, 468, 3) float32 by the scene's image, NaN for a face without one; None without mesh labels.

    Raises:
        DataError: the file is damaged or was written for other faces.
    """
    first_rows = np.cumsum([0, *(len(scene.faces) for scene in manifest.scenes)])
    meshes = read_rows(manifest, MESHES, "meshes", first_rows[-1])
    if meshes is None:
        return None
    rows = zip(manifest.scenes, first_rows, strict=False)
    return {scene.image: meshes[row : row + len(scene.faces)] for scene, row in rows}


TEACHER_EMBEDDINGS = "teacher_embeddings.npy"

FaceEmbedder = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]
"""Maps n images and the landmarks (n, 5, 2) of one face in each to embeddings (n, d)."""

FaceKey = tuple[str, int]
"""Image of a scene, and number of a face in it."""

_FACES_PER_BATCH = 32
"""Faces that the teacher embeds at once; their images are in memory together."""


def write_teacher_embeddings(
    folder: Path, scenes: Iterable[Scene], embed_faces: FaceEmbedder, dim: int | None = None
) -> None:
    """Write the teacher's embeddings (faces, d) float32 of the training faces.

    A face that was turned in 3D gets the embedding of the unturned one, as recognizers are weaker on profiles.

    Args:
        folder: data folder.
        scenes: training scenes (`select_training_scenes`), in manifest order.
        embed_faces: the teacher; a face without all five landmarks gets a row of NaN.
        dim: number of principal components that are kept of the embeddings; None: they are written as they are.

    Raises:
        DataError: there are fewer faces or numbers than components.
    """
    targets: list[FaceKey] = []
    embedded: dict[FaceKey, int] = {}
    batches: list[np.ndarray] = []
    faces = _read_labeled_faces(folder, scenes, targets, embedded)
    while batch := list(islice(faces, _FACES_PER_BATCH)):
        images, landmarks = zip(*batch, strict=True)
        batches.append(embed_faces(images, np.stack(landmarks)).astype(np.float32))
    rows = np.concatenate(batches) if batches else np.zeros((0, 0), np.float32)
    if dim is not None:
        rows = project_to_components(rows, dim)
    rows = np.concatenate([rows, np.full((1, rows.shape[1]), np.nan, np.float32)])
    np.save(folder / TEACHER_EMBEDDINGS, rows[[embedded.get(target, -1) for target in targets]])


def _read_labeled_faces(
    folder: Path, scenes: Iterable[Scene], targets: list[FaceKey], embedded: dict[FaceKey, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield image and landmarks (5, 2) of each unturned face that has all of them.

    Args:
        folder: data folder.
        scenes: training scenes.
        targets: gets, for every face, the face whose embedding is its target.
        embedded: gets the number of each face that is yielded.
    """
    from onelook.data.image_io import read_image  # with Pillow, which training does not need

    for scene in scenes:
        targets += [(scene.unturned or scene.image, number) for number in range(len(scene.faces))]
        if scene.unturned:
            continue
        image = read_image(folder / scene.image)
        for number, face in enumerate(scene.faces):
            if np.isfinite(face.landmarks).all():
                embedded[scene.image, number] = len(embedded)
                yield image, face.landmarks


def read_teacher_embeddings(manifest: Manifest) -> np.ndarray | None:
    """Map the teacher's embeddings of the training faces into memory, in manifest order.

    Returns:
        Embeddings (faces, d) float32, NaN for a face without landmarks; None without a teacher. Rows are read from
        the file when they are used, and processes share them.

    Raises:
        DataError: the file is damaged or was written for other faces.
    """
    return map_rows(manifest, TEACHER_EMBEDDINGS)


def map_rows(manifest: Manifest, name: str) -> np.ndarray | None:
    """Map a `.npy` file with a row for each training face into memory; None where there is no such file.

    Raises:
        DataError: the file is damaged or was written for other faces.
    """
    path = manifest.root / name
    if not path.is_file():
        return None
    try:
        rows: np.ndarray = np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: damaged; run `dvc repro -f prepare`") from error
    _check_rows(path, len(rows), sum(len(scene.faces) for scene in select_training_scenes(manifest.scenes)))
    return rows
