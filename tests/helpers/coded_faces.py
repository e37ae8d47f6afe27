"""Photos whose "faces" are coded in their first pixels, and a predictor that decodes them without a network.

`count` and `side` are the red and green value of pixel 0; identity and variant of face i are those of pixel i + 1.
"""

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
from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS
from onelook.settings import DetectSettings

SIZE = 16
"""Dimension of the embeddings."""
FACE = 60
"""Side of a coded face, in pixels; a second one stands to the right of the first."""


def make_embedding(identity: int, variant: int = 0) -> np.ndarray:
    """Draw a unit vector near the direction of an identity."""
    center = np.random.default_rng(identity).normal(size=SIZE)
    row = center + 0.3 * np.random.default_rng([identity, variant]).normal(size=SIZE)
    return (row / np.linalg.norm(row)).astype(np.float32)


class CodedPredictor:
    """A predictor that detects the faces coded in the pixels of a photo."""

    embedding_size = SIZE
    has_mesh_head = False
    min_batch_size = 1

    def __init__(self, fingerprint: str = "a" * 64) -> None:
        self.fingerprint = fingerprint
        self.predicted = 0
        self._lock = Lock()

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Decode the faces of each image, and count the images."""
        with self._lock:
            self.predicted += len(images)
        return [self._decode(image) for image in images]

    def _decode(self, image: np.ndarray) -> Detections:
        count, side = int(image[0, 0, 0]), int(image[0, 0, 1])
        codes = [(int(image[0, i + 1, 0]), int(image[0, i + 1, 1])) for i in range(count)]
        corners = np.asarray([[FACE * i, 5] for i in range(count)], np.float32).reshape(count, 2)
        return Detections(
            boxes=np.concatenate([corners, corners + side], axis=1),
            scores=np.linspace(0.9, 0.8, count, dtype=np.float32),
            landmarks=corners[:, None] + REFERENCE_LANDMARKS * (side / CROP_SIZE),
            embeddings=np.asarray([make_embedding(*code) for code in codes], np.float32).reshape(count, SIZE),
        )


@pytest.fixture
def predictor() -> CodedPredictor:
    return CodedPredictor()


@pytest.fixture
def metadata() -> GalleryMetadata:
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
    """Return a function that writes coded photos: photo(identity, ..., variant=0), sharp and large by default."""

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
    """Return a function that reads every file of a folder, by name."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}
