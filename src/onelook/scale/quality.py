"""How good faces that were identified are to be grouped, enrolled and averaged."""

from collections.abc import Sequence

import numpy as np

from onelook.gallery.answers import IdentifiedFace
from onelook.gallery.measuring import measure_face
from onelook.gallery.quality import Quality
from onelook.model.detections import Detections


def measure_faces(photo: np.ndarray, faces: Sequence[IdentifiedFace], longest_side: int) -> list[Quality]:
    """The quality of each face of a photo (H, W, 3) that the network saw with this longest side, in pixels."""
    if not faces:
        return []
    found = Detections(
        boxes=np.stack([face.box for face in faces]),
        scores=np.asarray([face.score for face in faces], np.float32),
        landmarks=np.stack([face.landmarks for face in faces]),
        embeddings=np.stack([face.embedding for face in faces]),
    )
    return [measure_face(photo, found, face, longest_side) for face in range(len(found))]


def measured(quality: Quality) -> dict[str, float]:
    """What is written of it beside the detection score."""
    return {"size": round(quality.size, 3), "sharpness": round(quality.sharpness, 6)}
