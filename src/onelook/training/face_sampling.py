"""Sampling of the faces of a scene batch: which are embedded, and at which landmarks.

Which faces and which random numbers is decided on the CPU, before the batch is copied to the device of the network, so
that their number is known there.
"""

from typing import NamedTuple

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


class EmbeddedFaces(NamedTuple):
    """The faces of a batch to embed, image by image.

    Attributes:
        images: (k,) int64, the index of each face's image.
        rows: (k,) int64, the row of each face in the labels of its image.
        counts: number of faces of each image.
    """

    images: Tensor
    rows: Tensor
    counts: tuple[int, ...]


class LandmarkDraws(NamedTuple):
    """Random numbers of the landmarks of a batch.

    Attributes:
        noise: (B, M, 5, 2) float32, standard normal.
        is_predicted: (B, M) bool, True for faces that are embedded at their predicted landmarks.
    """

    noise: Tensor
    is_predicted: Tensor


def select_faces(batch: SceneBatch, settings: TrainSettings) -> EmbeddedFaces:
    """Select the faces to embed: those with landmarks and a training target.

    A target is an identity, an embedding of the teacher, or an identity loss that uses unlabeled faces.

    Args:
        batch: on the CPU.
        settings: the identity loss, and the size of the crops.
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
    return EmbeddedFaces(images, rows, tuple(mask.sum(1).tolist()))


def draw_landmarks(batch: SceneBatch, settings: TrainSettings, epoch: int, rng: np.random.Generator) -> LandmarkDraws:
    """Draw the random numbers of the landmarks of a batch.

    The fraction of predicted landmarks grows from 0 in the first epoch, so that training approaches inference.

    Args:
        batch: of this process, on the CPU.
        settings: the fraction of predicted landmarks in the last epoch.
        epoch: counted from 0.
        rng: in the same state in every process. Each process draws for the whole batch and uses its own shard.
    """
    fraction = settings.augment.predicted_landmark_fraction * epoch / max(1, settings.epochs - 1)
    counts = all_gather(torch.tensor(batch.face_counts)).tolist()
    first = int(all_gather(torch.tensor([len(batch.face_counts)]))[: rank()].sum())
    has_predictions = settings.tasks != "recognition"
    # Faces are drawn one image after another, so the padding changes no number.
    draws = [
        (rng.standard_normal((count, 5, 2), np.float32), rng.random(count if has_predictions else 0) < fraction)
        for count in counts
    ]
    own = draws[first : first + len(batch.face_counts)]
    return LandmarkDraws(*(pad_faces([draw[part] for draw in own], 0) for part in range(2)))


def sample_landmarks(
    batch: SceneBatch,
    draws: LandmarkDraws,
    settings: TrainSettings,
    matched: tuple[AnchorOutputs, Tensor, Matches] | None = None,
) -> Tensor:
    """Sample the landmarks that faces are embedded at: labeled ones with noise, or predicted ones.

    Args:
        batch: of this process.
        draws: of the batch, on its device.
        settings: the scale of the noise.
        matched: outputs, anchors and matches that `predicted_landmarks` decodes; faces that are not detected have
            their noisy labels. None: no predicted landmarks.

    Returns:
        (B, M, 5, 2) in pixels, NaN where a face has no landmarks.
    """
    jitter = settings.augment.landmark_jitter
    points = batch.landmarks + draws.noise * jitter * box_sizes(batch.boxes)[..., None, None]
    if matched is None:
        return points
    return torch.where(draws.is_predicted[..., None, None], predicted_landmarks(*matched, points), points)
