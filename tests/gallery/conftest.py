"""Photos whose "faces" are coded in their first pixels, and a looker that reads the code: no network is needed here."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import pytest

from onelook.data.image_io import write_image
from onelook.detections import Detections
from onelook.gallery.data import GalleryMetadata
from onelook.geometry.alignment import CROP, TEMPLATE
from onelook.settings import DetectSettings

SIZE = 16
FACE = 60
"""Side of a coded face, in pixels; a second one stands to the right of the first."""


def direction(identity: int, variant: int = 0) -> np.ndarray:
    """A unit vector near the identity's own one."""
    center = np.random.default_rng(identity).normal(size=SIZE)
    row = center + 0.3 * np.random.default_rng([identity, variant]).normal(size=SIZE)
    return (row / np.linalg.norm(row)).astype(np.float32)


class CodedLooker:
    """Finds as many faces as the first pixel's red value says, green is their side.

    Pixel i + 1 holds identity and variant of face i.
    """

    embedding_size = SIZE

    def __init__(self, fingerprint: str = "a" * 64) -> None:
        self.fingerprint = fingerprint
        self.seen = 0
        self._counting = Lock()

    def predict(self, photos: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        with self._counting:
            self.seen += len(photos)
        return [self._look(photo) for photo in photos]

    def _look(self, photo: np.ndarray) -> Detections:
        count, side = int(photo[0, 0, 0]), int(photo[0, 0, 1])
        codes = [(int(photo[0, i + 1, 0]), int(photo[0, i + 1, 1])) for i in range(count)]
        corners = np.asarray([[FACE * i, 5] for i in range(count)], np.float32).reshape(count, 2)
        return Detections(
            boxes=np.concatenate([corners, corners + side], axis=1),
            scores=np.linspace(0.9, 0.8, count, dtype=np.float32),
            landmarks=corners[:, None] + TEMPLATE * (side / CROP),
            embeddings=np.asarray([direction(*code) for code in codes], np.float32).reshape(count, SIZE),
        )


@pytest.fixture
def looker() -> CodedLooker:
    return CodedLooker()


@pytest.fixture
def terms() -> GalleryMetadata:
    return GalleryMetadata(
        fingerprint="a" * 64,
        embedding_size=SIZE,
        threshold=0.6,
        target_fpir=0.01,
        detect=DetectSettings(score=0.5, nms=0.4, longest_side=640),
        managed=False,
    )


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """A maker of coded photos: photo(identity, ..., variant=0) shows these people, sharp and large unless said."""

    def make(
        *identities: int, variant: int = 0, side: int = FACE, blur: float = 0, path: str | Path | None = None
    ) -> Path:
        image = np.random.default_rng([variant, *identities]).integers(0, 256, (70, 4 * FACE, 3), np.uint8)
        if blur:
            image = cv2.GaussianBlur(image, (0, 0), blur)
        image[0, 0, :2] = len(identities), side
        for i, identity in enumerate(identities):
            image[0, i + 1, :2] = identity, variant
        name = hashlib.sha256(image.tobytes()).hexdigest()[:12]
        file = tmp_path / "photos" / f"{name}.png" if path is None else tmp_path / path
        write_image(file, image)
        return file

    return make


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a folder by name."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}
