"""Rejections: faces that a user marked as not the person they resemble, and the identifications these withdraw."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from onelook.gallery.data import Rejection
from onelook.gallery.identification import Identification


def withdraw_rejected(
    identifications: Sequence[Identification],
    embeddings: np.ndarray,
    rejections: Sequence[Rejection],
    threshold: float,
) -> list[Identification]:
    """Withdraw the names that a rejected face contradicts.

    A rejected face counts as a person of its own: the name is withdrawn where the face matches the rejected one, and
    resembles it at least as much as the person. So other photos of the same stranger lose the name too, and photos of
    the person keep it.

    Args:
        identifications: of n faces.
        embeddings: (n, d) float32, L2-normalized, of the faces.
        rejections: of the gallery.
        threshold: lowest similarity at which two faces match.

    Returns:
        The identifications; a withdrawn one has no name, the confidence 0 and is `rejected`.
    """
    rejected_faces: dict[str, list[np.ndarray]] = {}
    for rejection in rejections:
        rejected_faces.setdefault(rejection.person, []).append(rejection.vector)
    result = []
    for identification, embedding in zip(identifications, embeddings, strict=True):
        faces = rejected_faces.get(identification.nearest or "")
        if faces is not None and identification.similarity is not None:
            similarity = float((np.stack(faces) @ embedding).max())
            if similarity >= max(threshold, identification.similarity - _ROUNDING):
                identification = replace(identification, name=None, confidence=0.0, reason=None, rejected=True)
        result.append(identification)
    return result


# A face that was enrolled and rejected has similarity 1 with the person and with itself, up to rounding.
_ROUNDING = 1e-6
