"""The grid detector through the training loop."""

from pathlib import Path

import numpy as np

from helpers.painted_scenes import FACE_BOX, read_painted_images, repeat_scenes, write_painted_scenes
from helpers.training_settings import PARAMS, changed, grid_settings
from helpers.trainings import build_trainer, train
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.grid_detector import GridDetector
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, load_settings
from onelook.settings.presets import apply_preset

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=512)


def test_the_preset_sets_all_that_a_grid_needs(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text())
    apply_preset("grid", path)
    settings = load_settings(path)
    assert settings.model.grid.scales == (5, 11, 19)
    assert settings.train.augment.crop_size == settings.model.grid.image_size
    assert isinstance(build_pretrained(settings.model).detector, GridDetector)


def test_backbone_alone_of_a_pretrained_grid_has_its_own_learning_rate(tmp_path: Path) -> None:
    settings = changed(grid_settings((5,), backbone_lr_mult=0.25), model={"init": "released"})
    trainer = build_trainer(write_painted_scenes(tmp_path), settings)
    factors = {id(p): group["lr_mult"] for group in trainer.optimizer.param_groups for p in group["params"]}
    for name, parameter in trainer.network.named_parameters():
        assert factors[id(parameter)] == (0.25 if name.startswith("detector.backbone.") else 1), name
    assert trainer.losses.initial_network is None  # no detector to learn without forgetting from


def test_a_grid_learns_the_painted_faces_and_the_saved_model_detects_them(tmp_path: Path) -> None:
    scenes = write_painted_scenes(tmp_path / "scenes")
    repeat_scenes(scenes, 6)
    settings = grid_settings((5, 11, 19), epochs=8, learning_rate=0.02)
    state, network = train(scenes, tmp_path / "checkpoints", settings, init_seed=0, data_seed=1)
    for name in ("classification", "box", "landmarks"):
        assert state.history[-1][f"loss.{name}"] < 0.6 * state.history[0][f"loss.{name}"], name
    images = read_painted_images(scenes)
    detections = TorchPredictor(network).predict(images, DETECT)
    for each in detections[:6]:
        assert pairwise_iou(each.boxes[:1], FACE_BOX[None]).item() > 0.5
    assert len(detections[6]) == 0 or detections[6].scores[0] < min(each.scores[0] for each in detections[:6])
    embeddings = np.stack([each.embeddings[0] for each in detections[:6]])
    same_person = np.add.outer(range(6), range(6)) % 2 == 0  # each person is in every other scene
    similarities = embeddings @ embeddings.T
    assert similarities[same_person].min() > similarities[~same_person].max()
    save_model(tmp_path / "model", network)
    loaded = load_torch_predictor(tmp_path / "model").predict(images, DETECT)
    for before, after in zip(detections, loaded, strict=True):
        np.testing.assert_allclose(after.boxes, before.boxes, atol=0.01)
        np.testing.assert_allclose(after.embeddings, before.embeddings, atol=1e-3)
