"""Predictions of trained grids on the photos of the study; a helper of grid_study.py."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from grid_data import read_images
from grid_metrics import SCORE, Faces, Found, classify, labeled_faces, match_faces
from torch import nn
from torch.nn import functional

from onelook.data.manifest import Manifest
from onelook.files import atomic_file
from onelook.inference.torch_predictor import TorchPredictor
from onelook.losses.margin import CombinedMarginLoss
from onelook.model.joint_network import JointNetwork
from onelook.settings import DetectSettings

BATCH = 64
"""Photos in a forward pass."""


class PhotoSet(NamedTuple):
    """Photos of equal size with their labels.

    Attributes:
        images: (B, H, W, 3) uint8, RGB.
        labels: faces of the photos.
    """

    images: np.ndarray
    labels: Faces


class Predictions(NamedTuple):
    """What a network, or a pair of them, predicts for the n labeled faces of a set of photos.

    Attributes:
        ious: (n,) IoU of the detected box.
        landmarks: (n, 5, 2) float32, detected; NaN for a missed face.
        is_right: (n,) bool, found and classified right, at the detected landmarks.
        is_right_given: (n,) bool, classified right at the labeled landmarks.
        embeddings: (n, dim) float32 at the labeled landmarks.
    """

    ious: np.ndarray
    landmarks: np.ndarray
    is_right: np.ndarray
    is_right_given: np.ndarray
    embeddings: np.ndarray

    def save(self, path: Path) -> None:
        """Write an .npz file atomically."""
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **self._asdict())

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**arrays)


def read_photo_set(manifest: Manifest, people: list[str]) -> PhotoSet:
    """Read photos; the class of a person is the position in `people`."""
    index = {name: number for number, name in enumerate(people)}
    return PhotoSet(np.stack(read_images(manifest)), labeled_faces(manifest, index))


def predict(network: JointNetwork, centers: np.ndarray, photos: PhotoSet, found: Found | None = None) -> Predictions:
    """Detect, embed and classify the faces of photos.

    Args:
        network: of a training.
        centers: (classes, dim) of the same training; (0, 0) where no classes were trained.
        photos: the photos.
        found: faces that another network detected; None: this network detects them.
    """
    images, labels = photos
    found = found or find_faces(network, images, labels)
    count = len(labels.photos)
    points = np.concatenate([found.landmarks, labels.landmarks])
    embeddings = embed_faces(network, images, np.tile(labels.photos, 2), points)
    is_right = np.zeros(2 * count, bool)
    if len(centers):
        is_right = classify(embeddings, centers) == np.tile(labels.people, 2)
    return Predictions(found.ious, found.landmarks, is_right[:count], is_right[count:], embeddings[count:])


def class_centers(identity_loss: nn.Module) -> np.ndarray:
    """Return the L2-normalized class centers (classes, dim) of a softmax over cosines; (0, 0) without such a loss."""
    if not isinstance(identity_loss, CombinedMarginLoss):
        return np.zeros((0, 0), np.float32)
    centers: np.ndarray = functional.normalize(identity_loss.centers.detach()).cpu().numpy()
    return centers


def find_faces(network: JointNetwork, images: np.ndarray, labels: Faces) -> Found:
    """Detect the labeled faces of images (B, H, W, 3)."""
    predictor, detect = TorchPredictor(network), DetectSettings(score=SCORE)
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    return match_faces(
        [each for batch in batches for each in predictor.predict(list(batch), detect, embed=False)], labels
    )


@torch.inference_mode()
def embed_faces(network: JointNetwork, images: np.ndarray, photos: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Embed faces of images (B, H, W, 3).

    Args:
        network: the network, on the CPU.
        images: RGB uint8.
        photos: (n,) int64, the image of each face.
        landmarks: (n, 5, 2) float32 in pixels; NaN for a face that is not embedded.

    Returns:
        (n, dim) float32, L2-normalized; NaN where the landmarks are.
    """
    network.eval()
    embeddings = np.full((len(photos), network.settings.embedding.dim), np.nan, np.float32)
    is_embedded = np.isfinite(landmarks).all(axis=(1, 2))
    for start in range(0, len(images), BATCH):
        batch = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2)
        rows = [np.flatnonzero(is_embedded & (photos == photo)) for photo in range(start, start + len(batch))]
        maps = network.detector.extract_feature_maps(batch)
        own = network.embed(maps, [torch.from_numpy(landmarks[each]) for each in rows])
        embeddings[np.concatenate(rows)] = own.numpy()
    return embeddings
