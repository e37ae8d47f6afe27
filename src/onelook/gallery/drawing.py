"""A photo with the people in it named."""

from collections.abc import Sequence

import numpy as np

from onelook.drawing import ORANGE, SKY, draw_faces, draw_mesh
from onelook.gallery.identification import IdentifiedFace


def draw_identified(photo: np.ndarray, faces: Sequence[IdentifiedFace]) -> np.ndarray:
    """Draw identified faces into a copy of a photo, RGB uint8 (H, W, 3): mesh, box, points, name; unknown is orange."""
    labels = [
        (face.name or "unknown") + ("" if face.similarity is None else f" {face.similarity:.2f}") for face in faces
    ]
    picture = photo
    for face in faces:
        if face.mesh is not None:
            picture = draw_mesh(picture, face.mesh, ORANGE if face.name is None else SKY)
    return draw_faces(
        picture,
        np.asarray([face.box for face in faces]).reshape(-1, 4),
        np.asarray([face.landmarks for face in faces]).reshape(-1, 5, 2),
        labels,
        [ORANGE if face.name is None else SKY for face in faces],
    )
