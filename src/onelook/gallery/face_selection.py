"""Selection of one face of a photo that shows several."""

from typing import Literal

import numpy as np

from onelook.errors import PhotoError
from onelook.geometry.boxes import box_areas, box_sizes, pairwise_intersection, pairwise_iou

FaceChoice = Literal["largest"] | int | tuple[float, float, float, float] | None
"""The face that counts: the largest, the number of a face from 1 in the order of detection, a box (x, y, width, height)
around it, or None: the photo must show one face."""

MAX_LOG_ODDS_GAP = 4.0
"""Log odds of the best detection score minus those of another, above which the other does not count as a face.

On 274 photos of one person each and 250 web photos with labels, this leaves out 10 of 13 boxes without a face, and 6 %
of 299 further faces, which are hidden, blurred or turned away.
"""
_MAX_LISTED = 6  # faces that an error message lists
_MIN_COVERED = 0.3  # fraction of a face inside the box that names it


def select_face(boxes: np.ndarray, scores: np.ndarray, choice: FaceChoice, name: str, advice: str) -> int:
    """Select one of the detected faces of a photo.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 in pixels.
        scores: (n,) detection scores, best first.
        choice: the face that counts.
        name: name of the photo in error messages.
        advice: what to do about several faces, at the end of that error message.

    Returns:
        The position of the face.

    Raises:
        PhotoError: no face was detected, several count and none is chosen, or the chosen one does not exist.
    """
    if len(scores) == 0:
        raise PhotoError(f"{name}: no face found; use a photo with one clear face")
    if choice is None:
        count = count_faces(scores)
        if count > 1:
            raise PhotoError(f"{name}: {count} faces found ({_list_boxes(boxes[:count])}); {advice}")
        return int(scores.argmax())
    if choice == "largest":
        return int(box_sizes(boxes).argmax())
    if isinstance(choice, int):
        if not 1 <= choice <= len(boxes):
            raise PhotoError(f"{name}: has no face {choice}, but {_list_boxes(boxes)}; name one of these")
        return choice - 1
    return _face_in_box(boxes, choice, name)


def count_faces(scores: np.ndarray) -> int:
    """Count the faces of a photo without detections that are far less sure than the best one."""
    odds = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    log_odds = np.log(odds / (1 - odds))
    return int((log_odds >= log_odds.max(initial=-np.inf) - MAX_LOG_ODDS_GAP).sum())


def format_box(box: np.ndarray) -> str:
    """Format a box x1 y1 x2 y2 as "x,y,width,height" in whole pixels."""
    x1, y1, x2, y2 = np.asarray(box).round().astype(int).tolist()
    return f"{x1},{y1},{x2 - x1},{y2 - y1}"


def _face_in_box(boxes: np.ndarray, choice: tuple[float, float, float, float], name: str) -> int:
    """Return the face of the highest IoU with a box (x, y, width, height), of those that lie largely in it."""
    x, y, width, height = choice
    region = np.array([x, y, x + width, y + height], np.float64)
    faces = boxes.astype(np.float64)
    covered = pairwise_intersection(region[None], faces)[0] / box_areas(faces).clip(1e-9)
    if not (covered >= _MIN_COVERED).any():
        where = format_box(region)
        raise PhotoError(f"{name}: no face in the box {where}, but {_list_boxes(boxes)}; name one of these")
    return int(np.where(covered >= _MIN_COVERED, pairwise_iou(region[None], faces)[0], -1.0).argmax())


def _list_boxes(boxes: np.ndarray) -> str:
    """List faces by number and box, as in "1: 10,20,96,120; 2: 210,22,90,115"."""
    listed = "; ".join(f"{number}: {format_box(box)}" for number, box in enumerate(boxes[:_MAX_LISTED], 1))
    return listed + (f"; and {len(boxes) - _MAX_LISTED} more" if len(boxes) > _MAX_LISTED else "")
