"""Sampling of the faces of a scene batch: which are embedded, and at which landmarks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from onelook.data.scene_dataset import SceneBatch
from onelook.distributed import all_gather, rank
from onelook.geometry.boxes import box_sizes
from onelook.losses.margin import NO_IDENTITY
from onelook.settings import TrainSettings


def select_faces(batch: SceneBatch, settings: TrainSettings) -> list[Tensor]:
    """Select the faces to embed: those with landmarks and a training target.

    A target is an identity, an embedding of the teacher, or an identity loss that uses unlabeled faces.

    Returns:
        A mask (n,) bool per image.
    """
    augment = settings.augment
    masks = []
    for image, (boxes, landmarks, identities) in enumerate(
        zip(batch.boxes, batch.landmarks, batch.identities, strict=True)
    ):
        mask = identities != NO_IDENTITY
        if batch.teacher_embeddings is not None:
            mask |= batch.teacher_embeddings[image].isfinite().all(-1)
        if settings.identity.uses_unlabeled_faces:
            # Augmentation removes the identity of cut and small faces; these are no negatives of that identity.
            uncut = ((landmarks >= 0) & (landmarks <= augment.crop_size)).all(-1).all(-1)
            mask |= uncut & (box_sizes(boxes) >= augment.min_identity_size)
        mask &= landmarks.isfinite().all(-1).all(-1)
        masks.append(mask)
    return masks


def sample_landmarks(
    batch: SceneBatch,
    settings: TrainSettings,
    epoch: int,
    rng: np.random.Generator,
    predict: Callable[[int, Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Sample the landmarks that faces are embedded at: labeled ones with noise, or predicted ones.

    The fraction of predicted landmarks grows from 0 in the first epoch, so that training approaches inference.

    Args:
        batch: of this process.
        settings: noise, and the fraction of predicted landmarks in the last epoch.
        epoch: counted from 0.
        rng: in the same state in every process. Each process draws for the whole batch and uses its own shard.
        predict: maps the index of an image and its noisy labels (n, 5, 2) to predicted landmarks, which are the labels
            for faces that are not detected. None: no predicted landmarks.

    Returns:
        Per image (n, 5, 2) in pixels.
    """
    fraction = settings.augment.predicted_landmark_fraction * epoch / max(1, settings.epochs - 1)
    face_counts = all_gather(torch.tensor([len(labeled) for labeled in batch.landmarks])).tolist()
    first_image = int(all_gather(torch.tensor([len(batch.landmarks)]))[: rank()].sum())
    draws = [_draw_noise(count, rng, predict is not None) for count in face_counts][first_image:]
    sampled = []
    for image, (boxes, labeled) in enumerate(zip(batch.boxes, batch.landmarks, strict=True)):
        noise, uniform = draws[image]
        points = labeled + noise * settings.augment.landmark_jitter * box_sizes(boxes)[:, None, None]
        if predict is not None:
            points = torch.where((uniform < fraction)[:, None, None], predict(image, points), points)
        sampled.append(points)
    return sampled


def _draw_noise(count: int, rng: np.random.Generator, with_uniform: bool) -> tuple[Tensor, Tensor]:
    """Draw normal noise (count, 5, 2), and one uniform number per face (count,) if needed."""
    noise = rng.standard_normal((count, 5, 2), np.float32)
    return torch.from_numpy(noise), torch.from_numpy(rng.random(count if with_uniform else 0))
