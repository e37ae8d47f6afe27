"""What a reader of a data set gives: photos, each of one known person."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Face, Split


@dataclass(frozen=True)
class IdentityImage:
    """A photo of a known person, not read yet.

    Attributes:
        path: the file it is in.
        identity: who it shows; others may be in it too.
        source, license: where it comes from and its terms, for the manifest.
        longest_side: a larger photo is scaled down to this when it is read, in pixels; None leaves it as it is.
        label: the person's face by the data set's labels, in pixels of the photo as it is read; a box or a point that
            they lack is NaN, and where they lack all there is no face.
    """

    path: Path
    identity: str
    source: str
    license: str
    longest_side: int | None = None
    label: Face | None = None

    @property
    def where(self) -> str:
        """Where the photo is, for messages."""
        return str(self.path)

    def read(self) -> np.ndarray:
        """The photo, RGB (height, width, 3) uint8.

        Raises:
            PhotoError: it cannot be read.
        """
        photo = self._decode()
        height, width = photo.shape[:2]
        if self.longest_side is None or max(width, height) <= self.longest_side:
            return photo
        scale = self.longest_side / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)

    def _decode(self) -> np.ndarray:
        return read_image(self.path)


@dataclass(frozen=True)
class IdentityDataset:
    """A data set as read.

    Attributes:
        portraits: in an order that depends on names alone.
        left_out: a line for each photo that was left out, saying which and why.
        official: which split each person is in, where the data set itself says so; a data set of training and test
            people alone leaves validation to `hold_out`.
    """

    portraits: tuple[IdentityImage, ...]
    left_out: tuple[str, ...] = ()
    official: Mapping[str, Split] | None = None
