"""Sampling of the faces of a scene batch: which are embedded, and at which landmarks."""

import numpy as np
import torch
from torch import Tensor

from onelook.data.scene_dataset import SceneBatch, pad_faces
from onelook.distributed import all_gather, rank
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import box_sizes
from onelook.losses.detection import Matches, predicted_landmarks
from onelook.losses.margin import NO_IDENTITY
from onelook.settings import TrainSettings


def select_faces(batch: SceneBatch, settings: TrainSettings) -> tuple[Tensor, Tensor]:
    """Select the faces to embed: those with landmarks and a training target.

    A target is an identity, an embedding of the teacher, or an identity loss that uses unlabeled faces.

    Returns:
        Image (k,) and row (k,) int64 of each face, image by image.
    """
    augment = settings.augment
    mask = batch.identities != NO_IDENTITY
    if batch.teacher_embeddings is not None:
        mask |= batch.teacher_embeddings.isfinite().all(-1)
    if settings.identity.uses_unlabeled_faces:
        # Augmentation removes the identity of cut and small faces; these are no negatives of that identity.
        uncut = ((batch.landmarks >= 0) & (batch.landmarks <= augment.crop_size)).all(-1).all(-1)
        mask |= uncut & (box_sizes(batch.boxes) >= augment.min_identity_size)
    mask &= batch.landmarks.isfinite().all(-1).all(-1)
    images, rows = mask.nonzero(as_tuple=True)
    return images, rows


def sample_landmarks(
    batch: SceneBatch,
    settings: TrainSettings,
    epoch: int,
    rng: np.random.Generator,
    matched: tuple[AnchorOutputs, Tensor, Matches] | None = None,
) -> Tensor:
    """Sample the landmarks that faces are embedded at: labeled ones with noise, or predicted ones.

    The fraction of predicted landmarks grows from 0 in the first epoch, so that training approaches inference.

    Args:
        batch: of this process.
        settings: noise, and the fraction of predicted landmarks in the last epoch.
        epoch: counted from 0.
        rng: in the same state in every process. Each process draws for the whole batch and uses its own shard.
        matched: outputs, anchors and matches that `predicted_landmarks` decodes; faces that are not detected have
            their noisy labels. None: no predicted landmarks.

    Returns:
        (B, M, 5, 2) in pixels, NaN where a face has no landmarks.
    """
    fraction = settings.augment.predicted_landmark_fraction * epoch / max(1, settings.epochs - 1)
    noise, uniform = _draw_noise(batch, rng, with_uniform=matched is not None)
    device = batch.landmarks.device
    noise = noise.to(device, non_blocking=True)
    points = batch.landmarks + noise * settings.augment.landmark_jitter * box_sizes(batch.boxes)[..., None, None]
    if matched is None:
        return points
    is_predicted = (uniform < fraction).to(device, non_blocking=True)
    return torch.where(is_predicted[..., None, None], predicted_landmarks(*matched, points), points)


def _draw_noise(batch: SceneBatch, rng: np.random.Generator, *, with_uniform: bool) -> tuple[Tensor, Tensor]:
    """Draw normal noise (B, M, 5, 2), and one uniform number per face (B, M) if needed.

    Faces are drawn one image after another, so the padding changes no number.
    """
    counts = all_gather(torch.tensor(batch.face_counts)).tolist()
    first = int(all_gather(torch.tensor([len(batch.face_counts)]))[: rank()].sum())
    draws = [
        (rng.standard_normal((count, 5, 2), np.float32), rng.random(count if with_uniform else 0)) for count in counts
    ]
    own = draws[first : first + len(batch.face_counts)]
    noise, uniform = (pad_faces([draw[part] for draw in own], 0) for part in range(2))
    return noise, uniform
