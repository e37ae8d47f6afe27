"""Images of one identity each, as the dataset readers return them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Face, Split


@dataclass(frozen=True)
class IdentityImage:
    """Image of an identity, decoded on access.

    Attributes:
        path: the file that holds the image.
        identity: name of the person shown; the image may show more people.
        source, license: origin and terms, for the manifest.
        longest_side: limit of the longer side in pixels; `read` scales a larger image down. None for no limit.
        label: the identity's labeled face in pixels of the image as read; None if the dataset has no label. A missing
            box or landmark is NaN.
    """

    path: Path
    identity: str
    source: str
    license: str
    longest_side: int | None = None
    label: Face | None = None

    @property
    def location(self) -> str:
        """Return the image's location, for messages."""
        return str(self.path)

    def read(self) -> np.ndarray:
        """Read the image, RGB (height, width, 3) uint8.

        Raises:
            PhotoError: the image cannot be read.
        """
        image = self._decode()
        height, width = image.shape[:2]
        if self.longest_side is None or max(width, height) <= self.longest_side:
            return image
        scale = self.longest_side / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    def _decode(self) -> np.ndarray:
        return read_image(self.path)


@dataclass(frozen=True)
class IdentityDataset:
    """Dataset of identity images.

    Attributes:
        images: ordered by name.
        skipped: one line per skipped photo, with the reason.
        official_splits: split of each identity, if the dataset defines one. For a dataset with training and test
            identities only, `splits.hold_out_validation` adds the validation split.
    """

    images: tuple[IdentityImage, ...]
    skipped: tuple[str, ...] = ()
    official_splits: Mapping[str, Split] | None = None
