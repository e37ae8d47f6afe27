"""Heads cut out of photos: a crop, a soft mask with no straight edge, and a warp that takes the labels along.

Coordinates are continuous: pixel i covers [i, i + 1), so its center is at i + 0.5.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from onelook.data.manifest import Face

MARGIN = 0.6
"""Photo kept around a face's box on each side, as a share of the box: room for hair, ears and neck."""


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """One head with what is around it.

    Attributes:
        image: RGB (height, width, 3) uint8 crop of a photo.
        face: its box and landmarks in pixels of the crop, and who it is.
        others: (n, 4) float32, boxes of other faces in the crop; they are not to be pasted along.
        gray: whether the photo is without color.
    """

    image: np.ndarray
    face: Face
    others: np.ndarray
    gray: bool


@dataclass(frozen=True, eq=False)
class HeadPatch:
    """A cut-out head turned and scaled, ready to be laid over a scene.

    Attributes:
        image: RGB (height, width, 3) uint8.
        alpha: (height, width) float32, 0 to 1, how far it covers what is below.
        box: (4,) float32 in pixels of the patch.
        landmarks: (5, 2) float32 in pixels of the patch.
    """

    image: np.ndarray
    alpha: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray


def crop_head(photo: np.ndarray, faces: tuple[Face, ...], largest: float) -> FaceCrop:
    """Cut the first of a photo's faces out, scaled down where it is larger than `largest` pixels."""
    face = faces[0]
    scale = min(1.0, largest / face.size)
    if scale < 1:
        height, width = photo.shape[:2]
        size = np.maximum(np.round(np.array([width, height]) * scale), 1)
        photo = cv2.resize(photo, size.astype(int).tolist(), interpolation=cv2.INTER_AREA)
        exact = size / (width, height)
    else:
        exact = np.ones(2)
    boxes = np.array([f.box for f in faces]).reshape(-1, 2, 2) * exact
    (x1, y1), (x2, y2) = boxes[0]
    reach = MARGIN * max(x2 - x1, y2 - y1)
    height, width = photo.shape[:2]
    left, top = max(0, int(x1 - reach)), max(0, int(y1 - reach))
    right, bottom = min(width, int(x2 + reach) + 1), min(height, int(y2 + reach) + 1)
    crop = np.ascontiguousarray(photo[top:bottom, left:right])
    origin = np.array([left, top])
    moved = (boxes - origin).astype(np.float32).reshape(-1, 4)
    landmarks = (face.landmarks * exact - origin).astype(np.float32)
    inside = (moved[:, :2] < (right - left, bottom - top)).all(1) & (moved[:, 2:] > 0).all(1)
    inside[0] = False
    gray = bool((crop == crop[..., :1]).all())
    return FaceCrop(crop, Face(moved[0], landmarks, face.identity, face.source), moved[inside], gray)


def head_mask(cutout: FaceCrop, rng: np.random.Generator) -> np.ndarray:
    """A soft mask of the head, (height, width) float32 from 0 to 1, of random width, shape and softness.

    It is a superellipse around the face that leans as the line from mouth to eyes does, inside a second one that keeps
    it off the photo's edges, less the faces of others.
    """
    height, width = cutout.image.shape[:2]
    x1, y1, x2, y2 = cutout.face.box
    up = _up(cutout.face.landmarks)
    center = np.array([x1 + x2, y1 + y2]) / 2 + up * (y2 - y1) * rng.uniform(0.0, 0.12)
    axes = np.array([x2 - x1, y2 - y1]) * rng.uniform((0.6, 0.62), (0.9, 0.85))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    across = (x - center[0]) * -up[1] + (y - center[1]) * up[0]
    along = (x - center[0]) * up[0] + (y - center[1]) * up[1]
    power = rng.uniform(2, 3)
    head = ((np.abs(across) / axes[0]) ** power + (np.abs(along) / axes[1]) ** power) ** (1 / power)
    power = rng.uniform(2.5, 5)
    frame = (np.abs(2 * x / width - 1) ** power + np.abs(2 * y / height - 1) ** power) ** (1 / power)
    mask = np.minimum(soft_edge(head, rng.uniform(0.1, 0.3)), soft_edge(frame, rng.uniform(0.08, 0.2)))
    for box in cutout.others:
        mask = mask * _clear_of(box, cutout.face.box, x, y)
    return mask.astype(np.float32)


def soft_edge(radius: np.ndarray, width: float) -> np.ndarray:
    """1 well inside radius 1, 0 outside, smooth over the last `width` before it."""
    t = np.clip((1 - radius) / width, 0, 1)
    return t * t * (3 - 2 * t)


def turned_size(width: float, height: float, degrees: float) -> tuple[float, float]:
    """Width and height of the upright box around a box's inscribed ellipse after a turn.

    A face is closer to the ellipse inside its box than to the box; the hull of the turned box's corners would be up to
    twice as large as what an annotator draws. Exact at 0, 90 and 180 degrees.
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return float(np.hypot(width * cosine, height * sine)), float(np.hypot(width * sine, height * cosine))


def transform_head(cutout: FaceCrop, mask: np.ndarray, size: float, degrees: float) -> HeadPatch:
    """Turn a head counter-clockwise and scale it so that its new box has the given size (square root of its area).

    Landmarks follow the similarity transform exactly; the box keeps its center and becomes that of `turned_size`.
    """
    x1, y1, x2, y2 = cutout.face.box.astype(np.float64)
    turned = np.array(turned_size(x2 - x1, y2 - y1, degrees))
    scale = size / np.sqrt(turned.prod())
    image, mask, shrunk = _shrink(cutout.image, mask, scale)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, sine], [-sine, cosine]])  # y grows downwards
    rows, columns = cutout.image.shape[:2]
    corners = scale * np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]]) @ turn.T
    origin = np.floor(corners.min(0))
    width, height = (np.ceil(corners.max(0)) - origin).astype(int).tolist()
    linear = turn * (scale / shrunk)  # from the shrunk image, whose axes may have been rounded differently
    # OpenCV counts from pixel centers; half a pixel in, half a pixel out.
    offset = linear @ (0.5, 0.5) - 0.5 - origin
    matrix = np.column_stack([linear, offset])
    center = scale * turn @ ((x1 + x2) / 2, (y1 + y2) / 2) - origin
    return HeadPatch(
        cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT),
        np.concatenate([center - turned * scale / 2, center + turned * scale / 2]).astype(np.float32),
        (scale * cutout.face.landmarks @ turn.T - origin).astype(np.float32),
    )


def _up(landmarks: np.ndarray) -> np.ndarray:
    up = landmarks[:2].mean(0) - landmarks[3:].mean(0)
    length = np.hypot(*up)
    return up / length if np.isfinite(length) and length > 0 else np.array([0.0, -1.0])


def _clear_of(other: np.ndarray, own: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    def radius(box: np.ndarray, grow: float) -> np.ndarray:
        (left, top), (right, bottom) = box.reshape(2, 2)
        return np.hypot(
            (2 * x - left - right) / ((right - left) * grow), (2 * y - top - bottom) / ((bottom - top) * grow)
        )

    return np.maximum(1 - soft_edge(radius(other, 1.5), 0.2), soft_edge(radius(own, 1.0), 0.2))


def _shrink(image: np.ndarray, mask: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # A bilinear warp reads four pixels: shrinking by more than that skips pixels, so the bulk is averaged first.
    if scale >= 0.9:
        return image, mask, np.ones(2)
    height, width = image.shape[:2]
    size = np.maximum(np.ceil(np.array([width, height]) * scale), 1)
    target = size.astype(int).tolist()
    shrunk = cv2.resize(image, target, interpolation=cv2.INTER_AREA)
    return shrunk, cv2.resize(mask, target, interpolation=cv2.INTER_AREA), size / (width, height)
