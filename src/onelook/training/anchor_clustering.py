"""Anchors of the grid detector: k-means clusters of the face sizes in the training scenes."""

from itertools import islice

import numpy as np
import torch

from onelook.data.scene_dataset import SceneDataset
from onelook.geometry.grid_anchors import kmeans_anchor_sizes
from onelook.model.grid_detector import GridDetector

# Number of scenes whose faces are clustered.
_MAX_SCENES = 500


def fit_anchor_sizes(detector: GridDetector, scenes: SceneDataset, seed: int) -> None:
    """Set the anchors of the detector to the k-means clusters of the augmented face sizes.

    Sizes are fractions of the width and height of the image.

    Raises:
        DataError: the scenes have too few distinct face sizes.
    """
    sizes = [
        (batch.boxes[0, :count, 2:] - batch.boxes[0, :count, :2]) / torch.tensor(batch.images.shape[:1:-1])
        for batch in islice(scenes.batches(0, 1), _MAX_SCENES)
        for count in batch.face_counts
    ]
    face_sizes = torch.cat(sizes).numpy().astype(np.float64)
    detector.anchor_sizes.copy_(kmeans_anchor_sizes(face_sizes, len(detector.scales), seed))
