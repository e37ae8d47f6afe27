"""A stand-in for OpenCV's capture whose frames become larger than at the opening, as those of a camera may."""

from collections.abc import Sequence

import cv2
import numpy as np


class GrowingCapture:
    """Capture of frames of given heights and widths; the first one is the size that it states."""

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        self._shapes = shapes
        self._next = 0

    def isOpened(self) -> bool:
        return True

    def get(self, key: int) -> float:
        height, width = self._shapes[0]
        return {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height}.get(key, 0)

    def grab(self) -> bool:
        self._next += 1
        return self._next <= len(self._shapes)

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((*self._shapes[self._next - 1], 3), np.uint8)

    def release(self) -> None:
        pass
