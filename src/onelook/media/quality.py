"""How good faces that were identified are to be grouped, enrolled and averaged."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from onelook.gallery.answers import IdentifiedFace
from onelook.gallery.measuring import measure_all
from onelook.gallery.quality import Quality


def measure_faces(
    photos: Sequence[np.ndarray], faces: Sequence[Sequence[IdentifiedFace]], longest_side: int
) -> list[list[Quality]]:
    """The quality of each face of photos (H, W, 3) that the network saw with this longest side, in pixels."""
    together = [
        (photo, face.box, face.landmarks, face.score)
        for photo, some in zip(photos, faces, strict=True)
        for face in some
    ]
    qualities = iter(measure_all(together, longest_side))
    return [list(islice(qualities, len(some))) for some in faces]


def measured(quality: Quality) -> dict[str, float]:
    """What is written of it beside the detection score."""
    return {"size": round(quality.size, 3), "sharpness": round(quality.sharpness, 6)}
