"""The joint grid detector through the same loop: it measures its anchors, learns, is saved, and looks."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_loop import tiny_settings, write_scenes

from onelook.data.manifest import read_manifest, write_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.errors import DataError
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.grid_detector import GridDetector
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, Settings, load_settings
from onelook.settings.presets import apply_preset
from onelook.training.anchor_clustering import fit_anchor_sizes
from onelook.training.loop import Callbacks, Trainer

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=512)


def grid_settings(scales: tuple[int, ...], **train: object) -> Settings:
    tree = tiny_settings(**{"batch": 4, "backbone_lr_mult": 1.0, "learning_rate": 0.01, **train}).model_dump()
    tree["model"] |= {"architecture": "grid", "init": "random", "grid": {"scales": scales, "side": 160, "channels": 32}}
    tree["train"]["augment"] |= {"crop": 96, "zoom": (1, 1)}
    return Settings.model_validate(tree)


def test_its_preset_needs_nothing_else(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((project / "params.yaml").read_text())
    apply_preset("grid", path)
    settings = load_settings(path)
    assert (
        settings.model.grid.scales == (5, 11, 19) and settings.train.augment.crop_size == settings.model.grid.image_size
    )
    assert isinstance(build_pretrained(settings.model).detector, GridDetector)


def trained(folder: Path, settings: Settings, *, rounds: int) -> tuple[JointNetwork, list[dict[str, float]]]:
    """Train on the painted scenes, each seen so many times an epoch."""
    torch.manual_seed(0)
    torch.set_num_threads(settings.base.threads)
    network = build_pretrained(settings.model)
    root = write_scenes(folder / "scenes")
    write_manifest(root, list(read_manifest(root).scenes) * rounds)
    trainer = Trainer(network, SceneDataset(read_manifest(root), settings.train.augment, 1), settings)
    watchers = Callbacks(validate=lambda network: {"figure": 0.0})
    return network, trainer.run(folder / "checkpoints", "k", watchers).history


def test_its_anchors_are_the_clusters_of_the_sizes_that_training_shows(tmp_path: Path) -> None:
    """Boxes of three sizes in pixels of 96 x 80 scenes, seen as crops of 96 x 96, a scene without a face among them."""
    root = write_scenes(tmp_path)
    scenes = list(read_manifest(root).scenes)
    for i, (width, height) in enumerate(((48, 60), (24, 36), (12, 12), (48, 60), (24, 36), (12, 12))):
        box = np.array([20, 10, 20 + width, 10 + height], np.float32)
        scenes[i] = replace(scenes[i], faces=(replace(scenes[i].faces[0], box=box),))
    write_manifest(root, scenes)
    settings = grid_settings((5,))
    detector = build_pretrained(settings.model).detector
    assert isinstance(detector, GridDetector)
    fit_anchor_sizes(detector, SceneDataset(read_manifest(root), settings.train.augment, 1), seed=0)
    wanted = np.array([[[48, 60], [24, 36], [12, 12]]]) / 96
    np.testing.assert_allclose(detector.sizes.numpy(), wanted, atol=1e-5)
    assert detector.state_dict()["sizes"].equal(detector.sizes)


def test_scenes_that_show_too_few_sizes_are_refused(tmp_path: Path) -> None:
    settings = grid_settings((5,))
    detector = build_pretrained(settings.model).detector
    assert isinstance(detector, GridDetector)
    scenes = SceneDataset(read_manifest(write_scenes(tmp_path)), settings.train.augment, 1)
    with pytest.raises(DataError, match="too few for the 3 anchors"):
        fit_anchor_sizes(detector, scenes, seed=0)


def test_it_learns_the_painted_faces_and_finds_them_with_the_saved_model(tmp_path: Path) -> None:
    network, history = trained(tmp_path, grid_settings((5, 11, 19), epochs=4, learning_rate=0.02), rounds=6)
    for name in ("classification", "box", "landmarks"):
        assert history[-1][f"loss.{name}"] < 0.6 * history[0][f"loss.{name}"], name
    photos = [cv2.cvtColor(cv2.imread(str(tmp_path / f"scenes/images/{i}.png")), cv2.COLOR_BGR2RGB) for i in range(7)]
    found = TorchPredictor(network).predict(photos, DETECT)
    for each in found[:6]:
        assert pairwise_iou(each.boxes[:1], np.array([[24, 16, 60, 64]], np.float32)).item() > 0.5
    assert len(found[6]) == 0 or found[6].scores[0] < min(each.scores[0] for each in found[:6])
    rows = np.stack([each.embeddings[0] for each in found[:6]])
    alike = np.add.outer(range(6), range(6)) % 2 == 0  # one person is painted in every other scene
    assert (rows @ rows.T)[alike].min() > (rows @ rows.T)[~alike].max()
    save_model(tmp_path / "model", network)
    for one, other in zip(found, load_torch_predictor(tmp_path / "model").predict(photos, DETECT), strict=True):
        np.testing.assert_allclose(other.boxes, one.boxes, atol=0.01)
        np.testing.assert_allclose(other.embeddings, one.embeddings, atol=1e-3)
