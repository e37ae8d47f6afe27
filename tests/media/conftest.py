"""Galleries with predictors that need no network, and videos of painted squares."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import SIZE, CodedPredictor, make_embedding, metadata, photo, predictor
from helpers.painted import HEIGHT, WIDTH, PaintedPredictor
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.media.video_io import VideoWriter

__all__ = ["metadata", "photo", "predictor"]


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a video: make_video(name, frames, fps=10)."""

    def make(name: str, frames: Sequence[np.ndarray], fps: float = 10) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, fps, (HEIGHT, WIDTH, 3)) as writer:
            for frame in frames:
                writer.write(frame)
        return path

    return make


@pytest.fixture
def make_gallery(tmp_path: Path, metadata: GalleryMetadata) -> Callable[..., Gallery]:
    """Return a function that makes a gallery on disk: make_gallery(predictor, Anna=1, Bob=2)."""

    def make(predictor: CodedPredictor, folder: str = "gallery", **people: int) -> Gallery:
        faces = tuple(EnrolledFace(person=name, photo=f"{name}.png", sha256=f"{i:064x}") for name, i in people.items())
        rows = np.asarray([make_embedding(i) for i in people.values()], np.float32).reshape(len(people), SIZE)
        storage.create(tmp_path / folder, GalleryData(metadata, faces, rows))
        return Gallery(FaissBackend(tmp_path / folder), predictor)

    return make


@pytest.fixture
def coded_gallery(make_gallery: Callable[..., Gallery], predictor: CodedPredictor) -> Gallery:
    """A gallery of coded faces: Anna is identity 3, Bob is 4."""
    return make_gallery(predictor, Anna=3, Bob=4)


@pytest.fixture
def painted_predictor() -> PaintedPredictor:
    return PaintedPredictor()


@pytest.fixture
def painted_gallery(make_gallery: Callable[..., Gallery], painted_predictor: PaintedPredictor) -> Gallery:
    """A gallery of painted squares: Anna is identity 1 (red), Bob is 2 (green)."""
    return make_gallery(painted_predictor, Anna=1, Bob=2)
