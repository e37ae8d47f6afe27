from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.painted_scenes import write_painted_scenes
from helpers.training_settings import grid_settings
from onelook.data.manifest import read_manifest, write_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.errors import DataError
from onelook.model.grid_detector import GridDetector
from onelook.model.pretrained import build_pretrained
from onelook.training.anchor_clustering import fit_anchor_sizes


def fit(scenes: Path) -> GridDetector:
    settings = grid_settings((5,))
    detector = build_pretrained(settings.model).detector
    assert isinstance(detector, GridDetector)
    fit_anchor_sizes(detector, SceneDataset(read_manifest(scenes), settings.train.augment, 1), seed=0)
    return detector


def test_anchors_are_the_clusters_of_the_augmented_face_sizes(tmp_path: Path) -> None:
    """Boxes of three sizes in pixels of 96 x 80 scenes, padded to crops of 96 x 96; one scene has no face."""
    root = write_painted_scenes(tmp_path)
    scenes = list(read_manifest(root).scenes)
    for i, (width, height) in enumerate(((48, 60), (24, 36), (12, 12), (48, 60), (24, 36), (12, 12))):
        box = np.array([20, 10, 20 + width, 10 + height], np.float32)
        scenes[i] = replace(scenes[i], faces=(replace(scenes[i].faces[0], box=box),))
    write_manifest(root, scenes)
    detector = fit(root)
    expected = np.array([[[48, 60], [24, 36], [12, 12]]]) / 96
    np.testing.assert_allclose(detector.anchor_sizes.numpy(), expected, atol=1e-5)
    assert detector.state_dict()["anchor_sizes"].equal(detector.anchor_sizes)


def test_too_few_face_sizes_raise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few for the 3 anchors"):
        fit(write_painted_scenes(tmp_path))
