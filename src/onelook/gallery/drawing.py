"""Draw faces into an image: numbers of detected faces, names of identified ones."""

from collections.abc import Sequence

import numpy as np

from onelook.data.image_input import ColorOrder, ImageSource, as_image
from onelook.drawing import ORANGE, SKY, draw_boxes, draw_mesh
from onelook.faces import Face
from onelook.gallery.identification import IdentifiedFace


def draw_faces(
    photo: ImageSource, faces: Sequence[Face], *, points: bool = False, color: ColorOrder = "rgb"
) -> np.ndarray:
    """Draw the faces of a photo into a copy of it.

    - Identified faces: a blue box with the name; a thin orange box where there is no name.
    - Detected faces: a blue box with the number of the face, counted from 1.

    A name that fits nowhere without covering another face is left out.

    Args:
        photo: the photo.
        faces: its faces, from `onelook.detect` or `Gallery.identify`.
        points: draw the landmarks, too.
        color: order of the channels of an array.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        PhotoError: the photo cannot be read, see `as_image`.
    """
    drawn = as_image(photo, color=color)
    is_anonymous = [isinstance(face, IdentifiedFace) and face.name is None for face in faces]
    colors = [ORANGE if anonymous else SKY for anonymous in is_anonymous]
    labels = [
        (face.name or "") if isinstance(face, IdentifiedFace) else str(number) for number, face in enumerate(faces, 1)
    ]
    for face, line_color in zip(faces, colors, strict=True):
        if face.mesh is not None:
            drawn = draw_mesh(drawn, face.mesh, line_color)
    boxes = np.asarray([face.box for face in faces]).reshape(-1, 4)
    landmarks = np.asarray([face.landmarks for face in faces]).reshape(-1, 5, 2) if points else None
    return draw_boxes(drawn, boxes, landmarks, labels, colors, is_anonymous)
