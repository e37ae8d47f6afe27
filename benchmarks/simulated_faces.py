"""Simulate the templates of many people, and hard photos of them, from real faces.

Real: the embeddings of the first photo of everybody in LFW, and of the second photo of those who have one.

- A simulated person is a real template, chosen at random, with half of its variance replaced by normal noise that has
  the covariance of all real templates. So mean and covariance are the real ones, people come in families as large as
  the number of simulated people over that of real ones, and relatives have a cosine of about 0.5.
- A hard photo of a simulated person has a similarity of 0.4 to 0.7, uniformly, to the template. The rest of it has the
  direction in which a real second photo, chosen at random, differs from the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from device_option import load_predictor
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.gallery.hard_probes import add_noise
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)
BATCH = 8
BLOCK = 1 << 17  # people simulated at a time


@dataclass(frozen=True, eq=False)
class RealFaces:
    """Embeddings of LFW's people.

    Attributes:
        first: (n, d) float32, of the first photos.
        second: (m, d) float32, of the second photos.
        owners: (m,) int64, rows of `first` of the same people.
    """

    first: np.ndarray
    second: np.ndarray
    owners: np.ndarray


def read_real_faces(lfw: Path, cache: Path | None) -> RealFaces:
    """Embed the photos with the released weights, or read the embeddings from `cache` (.npz) if it exists."""
    if cache is None or not cache.exists():
        people = [sorted(folder.iterdir()) for folder in sorted((lfw / "images").iterdir()) if folder.is_dir()]
        photos = [photo for own in people for photo in own[:2]]
        embeddings = embed(photos)
        names = [photo.parent.name for photo in photos]
        if cache is not None:
            np.savez(cache, embeddings=embeddings, names=names)
    else:
        with np.load(cache) as stored:
            embeddings, names = stored["embeddings"], stored["names"].tolist()
    found = np.isfinite(embeddings).all(axis=1)
    row_of: dict[str, int] = {}
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    owners: list[int] = []
    for name, embedding in zip(np.asarray(names)[found].tolist(), embeddings[found], strict=True):
        if name in row_of:
            second.append(embedding)
            owners.append(row_of[name])
        else:
            row_of[name] = len(first)
            first.append(embedding)
    return RealFaces(np.asarray(first), np.asarray(second), np.asarray(owners))


def embed(photos: Sequence[Path]) -> np.ndarray:
    """Return the embeddings (n, d) of the faces nearest the centers of photos, NaN where none was found."""
    predictor = load_predictor(RELEASED, "cpu")
    embeddings = np.full((len(photos), predictor.embedding_size), np.nan, np.float32)
    starts = range(0, len(photos), BATCH)
    for start in track(starts, description="embedding", transient=True, console=Console(stderr=True)):
        images = [read_image(photo) for photo in photos[start : start + BATCH]]
        for row, faces in enumerate(predictor.predict(images, DETECT), start):
            if len(faces):
                middle = np.asarray(images[row - start].shape[1::-1]) / 2
                centers = faces.boxes.reshape(-1, 2, 2).mean(axis=1)
                embeddings[row] = faces.embeddings[np.abs(centers - middle).sum(axis=1).argmin()]
    return embeddings


def simulate_people(real: RealFaces, templates: np.ndarray, rng: np.random.Generator) -> None:
    """Fill `templates` (n, d) float32, also memory-mapped, with simulated people."""
    mean = real.first.mean(axis=0)
    factor = np.linalg.cholesky(np.cov(real.first.T) + 1e-9 * np.eye(len(mean))).astype(np.float32)
    half = np.float32(0.5**0.5)
    for start in range(0, len(templates), BLOCK):
        count = min(BLOCK, len(templates) - start)
        rows = half * (real.first[rng.integers(len(real.first), size=count)] - mean)
        rows += half * (rng.standard_normal((count, len(mean)), np.float32) @ factor.T)
        rows += mean
        templates[start : start + count] = rows / np.linalg.norm(rows, axis=1, keepdims=True)


def simulate_photos(real: RealFaces, templates: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return hard photos (count, d) float32 of simulated people chosen at random."""
    chosen = templates[np.sort(rng.choice(len(templates), count, replace=False))]
    first = real.first[real.owners]
    differences = real.second - (real.second * first).sum(axis=1, keepdims=True) * first
    return add_noise(chosen, differences[rng.integers(len(differences), size=count)], rng)
