"""Draw identified faces into an image."""

from collections.abc import Sequence

import numpy as np

from onelook.drawing import ORANGE, SKY, draw_faces, draw_mesh
from onelook.gallery.identification import IdentifiedFace


def draw_identified(image: np.ndarray, faces: Sequence[IdentifiedFace]) -> np.ndarray:
    """Draw mesh, box, landmarks and name of each face into a copy of an RGB uint8 image (H, W, 3).

    Named faces are blue, all others orange.
    """
    labels = [face.label + ("" if face.similarity is None else f" {face.similarity:.2f}") for face in faces]
    colors = [ORANGE if face.name is None else SKY for face in faces]
    drawn = image
    for face, color in zip(faces, colors, strict=True):
        if face.mesh is not None:
            drawn = draw_mesh(drawn, face.mesh, color)
    boxes = np.asarray([face.box for face in faces]).reshape(-1, 4)
    landmarks = np.asarray([face.landmarks for face in faces]).reshape(-1, 5, 2)
    return draw_faces(drawn, boxes, landmarks, labels, colors)
