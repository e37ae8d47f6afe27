"""What a reader of a data set gives: photos, each of one known person."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from onelook.data.photo import read_photo


@dataclass(frozen=True)
class Portrait:
    """A photo of a known person, not read yet.

    Attributes:
        path: the file.
        identity: who it shows; others may be in it too.
        source, licence: where it comes from and its terms, for the manifest.
        longest_side: a larger photo is scaled down to this when it is read, in pixels; None leaves it as it is.
    """

    path: Path
    identity: str
    source: str
    licence: str
    longest_side: int | None = None

    def read(self) -> np.ndarray:
        """The photo, RGB (height, width, 3) uint8.

        Raises:
            PhotoError: it cannot be read.
        """
        photo = read_photo(self.path)
        height, width = photo.shape[:2]
        if self.longest_side is None or max(width, height) <= self.longest_side:
            return photo
        scale = self.longest_side / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Reading:
    """A data set as read.

    Attributes:
        portraits: in an order that depends on names alone.
        left_out: a line for each photo that was left out, saying which and why.
        official: which people are for training and which for testing, where the data set itself says so.
    """

    portraits: tuple[Portrait, ...]
    left_out: tuple[str, ...] = ()
    official: Mapping[str, Literal["train", "test"]] | None = None
