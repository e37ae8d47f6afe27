"""Layout of labels beside boxes: no label covers another box or another label.

A label is placed at its box and apart from the other boxes, so that it is clear whose it is; else in smaller letters,
else touching another box, else inside its box, else in free space with a leader line. A label that fits nowhere is left
out.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

_MAX_INSIDE = 0.34  # largest height of a label inside its box, as a fraction of the box
_GAP = 0.5  # gap of a label to other boxes and labels, as a fraction of its height
_GRID_POSITIONS = 48  # positions tried along each side of the image, for labels with a leader line


class Placement(NamedTuple):
    """Position of a label.

    Attributes:
        size: index of the size in use.
        left, top: corner in pixels.
        is_away: the label is not at its box and needs a leader line.
    """

    size: int
    left: int
    top: int
    is_away: bool


def place_labels(
    boxes: np.ndarray, sizes: Sequence[Sequence[tuple[int, int]]], height: int, width: int
) -> list[Placement | None]:
    """Place the labels of boxes.

    Args:
        boxes: (n, 4) int x1 y1 x2 y2 in pixels, inside the image; those without a label are obstacles only.
        sizes: for each box the sizes (height, width) that its label may have, largest first; none: it has no label.
        height: of the image.
        width: of the image.

    Returns:
        For each box where its label goes; None without a label, or where there is no room for it.
    """
    placements: list[Placement | None] = []
    labels = np.empty((0, 4), np.int64)
    for i, choices in enumerate(sizes):
        obstacles = np.concatenate([np.delete(boxes, i, axis=0), labels])
        placement = _first_free(boxes[i], choices, obstacles, height, width)
        placements.append(placement)
        if placement is not None:
            rows, columns = choices[placement.size]
            corner = placement.left, placement.top
            labels = np.append(labels, [[*corner, corner[0] + columns, corner[1] + rows]], axis=0)
    return placements


def _first_free(
    box: np.ndarray, choices: Sequence[tuple[int, int]], obstacles: np.ndarray, height: int, width: int
) -> Placement | None:
    rounds = ((_beside, _GAP, False), (_beside, 0.0, False), (_inside, 0.0, False), (_anywhere, 0.0, True))
    for candidates, gap, is_away in rounds:
        # A label away from its box must not cover it, either.
        blocked = np.concatenate([obstacles, box[None]]) if is_away else obstacles
        for number, (rows, columns) in enumerate(choices):
            if rows > height or columns > width:
                continue
            corners = np.array(list(candidates(box, rows, columns, height, width)), np.int64).reshape(-1, 2)
            margin = round(gap * rows) * np.array([-1, -1, 1, 1])
            free = corners[~_overlap(corners, rows, columns, blocked + margin)]
            if len(free):
                return Placement(number, int(free[0, 0]), int(free[0, 1]), is_away)
    return None


def _overlap(corners: np.ndarray, rows: int, columns: int, obstacles: np.ndarray) -> np.ndarray:
    """Return which labels (k, 2 corners) of one size overlap any of the obstacles (m, 4), (k,) bool."""
    left, top = corners[:, :1], corners[:, 1:]
    x1, y1, x2, y2 = obstacles.T
    overlaps = (left < x2) & (left + columns > x1) & (top < y2) & (top + rows > y1)
    is_blocked: np.ndarray = overlaps.any(axis=1)
    return is_blocked


def _beside(box: np.ndarray, rows: int, columns: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield corners above, below and beside a box, inside the image."""
    x1, y1, x2, y2 = map(int, box)
    lefts = [min(max(left, 0), width - columns) for left in (x1, (x1 + x2 - columns) // 2, x2 - columns)]
    if columns > x2 - x1:
        lefts = [lefts[1], lefts[0], lefts[2]]
    tops = [min(max(top, 0), height - rows) for top in (y1, (y1 + y2 - rows) // 2, y2 - rows)]
    yield from ((left, top) for top in (y1 - rows, y2) for left in lefts if 0 <= top <= height - rows)
    yield from ((left, top) for left in (x2, x1 - columns) for top in tops if 0 <= left <= width - columns)


def _inside(box: np.ndarray, rows: int, columns: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield corners at the lower and the upper edge inside a box."""
    x1, y1, x2, y2 = map(int, box)
    if rows <= _MAX_INSIDE * (y2 - y1):
        left = min(max((x1 + x2 - columns) // 2, 0), width - columns)
        yield from ((left, top) for top in (y2 - rows, y1))


def _anywhere(box: np.ndarray, rows: int, columns: int, height: int, width: int) -> list[tuple[int, int]]:
    """Return the corners of a grid over the image, nearest to the box first."""
    lefts, tops = (
        np.unique(np.linspace(0, room, _GRID_POSITIONS).round().astype(int))
        for room in (width - columns, height - rows)
    )
    grid = np.stack(np.meshgrid(lefts, tops), axis=-1).reshape(-1, 2)
    x1, y1, x2, y2 = map(int, box)
    gap_x = np.maximum(np.maximum(x1 - grid[:, 0] - columns, grid[:, 0] - x2), 0)
    gap_y = np.maximum(np.maximum(y1 - grid[:, 1] - rows, grid[:, 1] - y2), 0)
    return [tuple(corner) for corner in grid[np.argsort(gap_x**2 + gap_y**2, kind="stable")].tolist()]
