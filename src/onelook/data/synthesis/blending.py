"""Blended people: two training people's photos mixed half and half make photos of someone who does not exist.

A classifier of few people learns to tell those few apart; blended people put more of the space of faces between them.
(The idea is mixup's, Zhang et al. 2018, with a class of its own for each pair instead of a mixed label.)
"""

import cv2
import numpy as np

from onelook.data.manifest import Face
from onelook.geometry.alignment import apply_transform, similarity_transform

_MADE_OF = "blend of {} and {}"


def blend_name(first: str, second: str) -> str:
    """The name of the person two people are blended into."""
    return _MADE_OF.format(first, second)


def is_blend(identity: str) -> bool:
    """Whether a name is one that `blend_name` gives."""
    return identity.startswith(_MADE_OF.split("{}")[0])


def blend(
    photo: np.ndarray, face: Face, other_photo: np.ndarray, other_face: Face, identity: str
) -> tuple[np.ndarray, Face]:
    """Mix two photos of different people, each brought to the mean of their landmarks.

    Args:
        photo, other_photo: RGB uint8 (H, W, 3); the result has the size of the first.
        face, other_face: the person of each, with landmarks.
        identity: the name of the blended person.

    Returns:
        The photo, and the face in it: mean landmarks, and the first one's box moved with them.
    """
    height, width = photo.shape[:2]
    onto_first = apply_transform(
        similarity_transform(other_face.landmarks.astype(np.float64), face.landmarks.astype(np.float64)),
        other_face.landmarks.astype(np.float64),
    )
    target = (face.landmarks + onto_first) / 2
    own = _affine(face.landmarks, target)
    other = _affine(other_face.landmarks, target)
    mixed = cv2.addWeighted(_warp(photo, own, width, height), 0.5, _warp(other_photo, other, width, height), 0.5, 0)
    corners = np.array([[face.box[[0, 1]], face.box[[2, 1]], face.box[[0, 3]], face.box[[2, 3]]]], np.float64)
    moved = apply_transform(own, corners)[0]
    box = np.concatenate([moved.min(axis=0), moved.max(axis=0)]).clip(0, [width, height, width, height])
    return mixed, Face(
        box.astype(np.float32), target.astype(np.float32), identity, f"{face.source} + {other_face.source}"
    )


def _affine(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The affine map (2, 3) that brings points (5, 2) closest to target (5, 2), in least squares."""
    rows = np.concatenate([points, np.ones((len(points), 1))], axis=1).astype(np.float64)
    return np.linalg.lstsq(rows, target.astype(np.float64), rcond=None)[0].T


def _warp(photo: np.ndarray, transform: np.ndarray, width: int, height: int) -> np.ndarray:
    pixels = transform.copy()
    pixels[:, 2] += pixels[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV puts pixel centers at whole numbers
    return cv2.warpAffine(photo, pixels, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
