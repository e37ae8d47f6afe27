"""Turned versions of face crops, for distillation on large poses.

A turned crop keeps the name of the crop that it was made of, so that the teacher's embedding of that one can be its
target: recognizers are weaker on profiles.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from onelook.data.image_io import read_image, write_image
from onelook.data.readers.face_crops import BOX_COLUMNS, LANDMARK_COLUMNS, read_face_list
from onelook.data.rng import Stream, make_rng
from onelook.data.synthesis.face_turning import TurnedFace, turn_face
from onelook.files import resolve_inside
from onelook.geometry.head_pose import head_yaw

MIN_YAW, MAX_YAW = 20.0, 80.0
"""Range of the absolute yaw of a turned face, in degrees."""
_STD_PITCH = 8.0  # of the change of pitch, in degrees
# A face that is turned further than this, in degrees, is turned on to the same side: its other side is hidden.
_MAX_FRONTAL_YAW = 10.0

MeshPredictor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray | None]
"""Maps an RGB image, a box (4,) and landmarks (5, 2) to a mesh (468, 3), or None, as `MeshTeacher.predict`."""


def sample_turns(image: np.ndarray, vertices: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[TurnedFace]:
    """Turn a face to random poses.

    The absolute yaw is uniform from 20, or from the face's own yaw where that is larger, to 80 degrees. The change of
    pitch is normal with a standard deviation of 8 degrees.

    Args:
        image: RGB (H, W, 3) uint8.
        vertices: (468, 3) mesh in pixels of the image.
        count: number of poses; none for a face whose yaw exceeds 80 degrees.
        rng: random generator.
    """
    yaw = head_yaw(vertices)
    for _ in range(count if abs(yaw) < MAX_YAW else 0):
        is_frontal = abs(yaw) <= _MAX_FRONTAL_YAW
        side = rng.choice((-1.0, 1.0)) if is_frontal else np.sign(yaw)
        target = side * rng.uniform(max(MIN_YAW, abs(yaw)), MAX_YAW)
        yield turn_face(image, vertices, target - yaw, rng.normal(0, _STD_PITCH))


def write_turned_faces(source: Path, target: Path, predict_mesh: MeshPredictor, count: int, seed: int) -> int:
    """Write a set of turned faces, in the layout of `extra_faces`.

    The column `unturned` of its `faces.csv` names the source's file that a crop was made of.

    Args:
        source: set of face crops, a directory with `images/` and `faces.csv`.
        target: directory of the new set; it must not exist.
        predict_mesh: predicts the mesh of a face; a face without one is dropped.
        count: turned versions of each face.
        seed: of the poses.

    Returns:
        Number of turned faces.

    Raises:
        DataError: `faces.csv` or an image of the source is missing or damaged.
    """
    (target / "images").mkdir(parents=True)
    written = 0
    with (target / "faces.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", *BOX_COLUMNS, *LANDMARK_COLUMNS, "unturned"])
        for number, (file, face) in enumerate(read_face_list(source / "faces.csv")):
            image = read_image(resolve_inside(source / "images", file))
            vertices = predict_mesh(image, face.box, face.landmarks)
            if vertices is None:
                continue
            for turned in sample_turns(image, vertices, count, make_rng(seed, Stream.TURNS, number)):
                name = f"{written:06d}.jpg"
                write_image(target / "images" / name, turned.image)
                values = np.concatenate([turned.box, turned.landmarks.ravel()])
                rows.writerow([name, *(f"{value:.2f}" for value in values), file])
                written += 1
    return written
