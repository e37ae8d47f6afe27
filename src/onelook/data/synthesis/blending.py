"""Blended identities: averages of two training identities' aligned photos.

They enlarge the number of classes of a small training set. The method is mixup (Zhang et al. 2018) with a new class for
each pair instead of a mixed label.
"""

import cv2
import numpy as np

from onelook.data.manifest import Face
from onelook.geometry.alignment import apply_transform, similarity_transform

_NAME_FORMAT = "blend of {} and {}"


def blend_name(first: str, second: str) -> str:
    """Return the name of the blend of two identities."""
    return _NAME_FORMAT.format(first, second)


def is_blend(identity: str) -> bool:
    """Return True for a name made by `blend_name`."""
    return identity.startswith(_NAME_FORMAT.split("{}")[0])


def blend(
    image: np.ndarray, face: Face, other_image: np.ndarray, other_face: Face, identity: str
) -> tuple[np.ndarray, Face]:
    """Average two images of different people, aligned to their mean landmarks.

    Args:
        image, other_image: RGB (height, width, 3) uint8; the result has the size of the first.
        face, other_face: the face of each image, with landmarks.
        identity: name of the blended identity.

    Returns:
        The blended image and its face: the mean landmarks, and the first face's box under the same transform.
    """
    height, width = image.shape[:2]
    other_landmarks = apply_transform(
        similarity_transform(other_face.landmarks.astype(np.float64), face.landmarks.astype(np.float64)),
        other_face.landmarks.astype(np.float64),
    )
    target = (face.landmarks + other_landmarks) / 2
    transform = _fit_affine(face.landmarks, target)
    other_transform = _fit_affine(other_face.landmarks, target)
    warped, other_warped = _warp(image, transform, width, height), _warp(other_image, other_transform, width, height)
    blended = cv2.addWeighted(warped, 0.5, other_warped, 0.5, 0)
    corners = np.array([[face.box[[0, 1]], face.box[[2, 1]], face.box[[0, 3]], face.box[[2, 3]]]], np.float64)
    moved = apply_transform(transform, corners)[0]
    box = np.concatenate([moved.min(axis=0), moved.max(axis=0)]).clip(0, [width, height, width, height])
    return blended, Face(
        box.astype(np.float32), target.astype(np.float32), identity, f"{face.source} + {other_face.source}"
    )


def _fit_affine(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit the affine transform (2, 3) of points (5, 2) to target (5, 2).

    The sum of squared distances is minimal.
    """
    rows = np.concatenate([points, np.ones((len(points), 1))], axis=1).astype(np.float64)
    return np.linalg.lstsq(rows, target.astype(np.float64), rcond=None)[0].T


def _warp(image: np.ndarray, transform: np.ndarray, width: int, height: int) -> np.ndarray:
    """Warp an image by a transform (2, 3) in continuous coordinates."""
    matrix = transform.copy()
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV has pixel centers at integers
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
