"""The grid detector's anchors, measured on the faces it will be trained on."""

from itertools import islice

import numpy as np
import torch

from onelook.data.scene_dataset import SceneDataset
from onelook.geometry.grid_anchors import kmeans_anchor_sizes
from onelook.model.grid_detector import GridDetector

# Scenes whose faces are clustered: enough for the clusters to stand, few enough to be read in seconds.
_SCENES = 500


def fit_anchor_sizes(detector: GridDetector, scenes: SceneDataset, seed: int) -> None:
    """Set the detector's anchors to the clusters of the faces' sizes, as training's augmentation shows them.

    Raises:
        DataError: the scenes show too few faces of different sizes.
    """
    shares = [
        (boxes[:, 2:] - boxes[:, :2]) / torch.tensor(batch.images.shape[:1:-1])
        for batch in islice(scenes.batches(0, 1), _SCENES)
        for boxes in batch.boxes
    ]
    found = torch.cat(shares).numpy().astype(np.float64)
    detector.sizes.copy_(kmeans_anchor_sizes(found, len(detector.scales), seed))
