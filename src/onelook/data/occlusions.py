"""Drawn face masks and glasses, placed by the five landmarks of a face.

Lengths are multiples of the distance from the middle of the eyes to the middle of the mouth, which a turned head
changes less than the distance of the eyes.
"""

import cv2
import numpy as np

_SHIFT = 4
_SUBPIXELS = 2**_SHIFT

# Outline of a mask, from the bridge of the nose clockwise: coordinates to the right and down from the middle of the
# eyes.
_MASK_OUTLINE = np.array(
    [
        [0.0, 0.35],
        [0.45, 0.5],
        [0.95, 0.55],
        [0.85, 1.15],
        [0.5, 1.6],
        [0.0, 1.75],
        [-0.5, 1.6],
        [-0.85, 1.15],
        [-0.95, 0.55],
        [-0.45, 0.5],
    ]
)
_MASK_NOISE = 0.05
_MASK_PLEATS = (0.8, 1.05, 1.3)
_MASK_COLORS = np.array([[235, 238, 240], [150, 195, 225], [40, 40, 45], [70, 90, 140], [200, 150, 160]])
_LENS = (0.4, 0.3)


def draw_mask(image: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a face mask over nose, mouth and chin.

    Args:
        image: RGB (H, W, 3) uint8; it is not changed.
        landmarks: (5, 2) in pixels.
        rng: random generator of shape and color.
    """
    origin, axes = _face_axes(landmarks)
    outline = _MASK_OUTLINE + rng.normal(0, _MASK_NOISE, _MASK_OUTLINE.shape)
    # On a turned head the mask is centered between nose and face.
    outline[:, 0] += 0.5 * (axes @ (landmarks[2] - origin))[0] / (axes[0] @ axes[0])
    color = (_MASK_COLORS[rng.integers(len(_MASK_COLORS))] + rng.normal(0, 12, 3)).clip(0, 255)
    image = image.copy()
    cv2.fillPoly(image, [_to_subpixels(origin + outline @ axes)], color.tolist(), cv2.LINE_AA, _SHIFT)
    for height in _MASK_PLEATS[: int(rng.integers(len(_MASK_PLEATS) + 1))]:
        ends = origin + np.array([[-0.6, height], [0.6, height]]) @ axes
        cv2.polylines(image, [_to_subpixels(ends)], False, (color * 0.85).tolist(), 1, cv2.LINE_AA, _SHIFT)
    return image


def draw_glasses(image: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw glasses with thin or thick rims; half of them are sunglasses.

    Args:
        image: RGB (H, W, 3) uint8; it is not changed.
        landmarks: (5, 2) in pixels.
        rng: random generator of shape and color.
    """
    _, axes = _face_axes(landmarks)
    length = float(np.linalg.norm(axes[1]))
    angle = float(np.degrees(np.arctan2(axes[0, 1], axes[0, 0])))
    extent = np.array(_LENS) * length * rng.uniform(0.8, 1.15)
    centers = landmarks[:2] + np.array([0, 0.05]) @ axes
    color = rng.uniform(0, 90, 3).tolist()
    drawn = image.copy()
    is_dark = rng.random() < 0.5
    thickness = max(1, round(rng.uniform(0.02, 0.08) * length))
    for center in centers:
        place = _to_subpixels(center).tolist(), _to_subpixels(extent).tolist(), angle, 0, 360
        if is_dark:
            cv2.ellipse(drawn, *place, color, -1, cv2.LINE_AA, _SHIFT)
        cv2.ellipse(drawn, *place, color, thickness, cv2.LINE_AA, _SHIFT)
    bridge = [_to_subpixels(centers + np.array([[extent[0]], [-extent[0]]]) * axes[0] / length)]
    cv2.polylines(drawn, bridge, False, color, thickness, cv2.LINE_AA, _SHIFT)
    opacity = rng.uniform(0.6, 1.0)
    return cv2.addWeighted(drawn, opacity, image, 1 - opacity, 0)


def _face_axes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of the eyes (2,) and the unit vectors (2, 2) to the right and down the face, in pixels."""
    points = landmarks.astype(np.float64)
    origin = points[:2].mean(0)
    down = points[3:].mean(0) - origin
    return origin, np.array([[down[1], -down[0]], down])


def _to_subpixels(points: np.ndarray) -> np.ndarray:
    """Round points to OpenCV's fixed-point coordinates."""
    fixed: np.ndarray = np.round(points * _SUBPIXELS).astype(np.int32)
    return fixed
