"""How good faces that were identified are to be grouped, enrolled and averaged."""

from collections.abc import Sequence

import numpy as np

from onelook.gallery.answers import IdentifiedFace
from onelook.gallery.measuring import measure_face
from onelook.gallery.quality import Quality


def measure_faces(photo: np.ndarray, faces: Sequence[IdentifiedFace], longest_side: int) -> list[Quality]:
    """The quality of each face of a photo (H, W, 3) that the network saw with this longest side, in pixels."""
    return [measure_face(photo, face.box, face.landmarks, face.score, longest_side) for face in faces]


def measured(quality: Quality) -> dict[str, float]:
    """What is written of it beside the detection score."""
    return {"size": round(quality.size, 3), "sharpness": round(quality.sharpness, 6)}
