"""Galleries whose lookers need no network: coded photos (see `gallery`'s), and videos of painted squares."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gallery.conftest import SIZE, CodedLooker, direction, files, looker, photo, terms
from helpers.painted import HEIGHT, WIDTH, PaintedLooker
from onelook.gallery import storage
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.media.video_io import VideoWriter

__all__ = ["files", "looker", "photo", "terms"]  # fixtures of the gallery's tests


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """A maker of videos: video(name, frames, rate=10)."""

    def make(name: str, frames: Sequence[np.ndarray], rate: float = 10) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, rate, (HEIGHT, WIDTH, 3)) as writer:
            for frame in frames:
                writer.write(frame)
        return path

    return make


@pytest.fixture
def gallery_of(tmp_path: Path, terms: GalleryMetadata) -> Callable[..., Gallery]:
    """A maker of galleries on disk: gallery_of(looker, Anna=1, Bob=2)."""

    def make(looker: CodedLooker, folder: str = "gallery", **people: int) -> Gallery:
        entries = tuple(Entry(person=name, photo=f"{name}.png", sha256=f"{i:064x}") for name, i in people.items())
        rows = np.asarray([direction(i) for i in people.values()], np.float32).reshape(len(people), SIZE)
        contents = GalleryData(terms, entries, rows)
        storage.create(tmp_path / folder, contents)
        return Gallery(FaissBackend(tmp_path / folder, contents), looker)

    return make


@pytest.fixture
def painted(gallery_of: Callable[..., Gallery]) -> Gallery:
    """Anna is red, Bob is green; nobody else is known."""
    return gallery_of(PaintedLooker(), Anna=1, Bob=2)
