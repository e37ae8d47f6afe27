"""RetinaFace's full network through the training loop."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.painted_scenes import FACE_BOX, label_meshes, read_painted_images, repeat_scenes, write_painted_scenes
from helpers.training_settings import changed, full_network_settings
from helpers.trainings import Trained, build_trainer, train
from onelook.geometry.boxes import pairwise_iou
from onelook.geometry.mesh import NOSE_TIP
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained
from onelook.model.resnet import ResNet
from onelook.model.serialization import load_model, save_model
from onelook.settings import DetectSettings, Settings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=512)


def train_on_painted_scenes(folder: Path, settings: Settings, *, repeats: int = 1) -> Trained:
    scenes = write_painted_scenes(folder / "scenes")
    repeat_scenes(scenes, repeats)
    if settings.model.mesh:
        label_meshes(scenes)
    return train(scenes, folder / "checkpoints", settings, init_seed=0, data_seed=1)


def test_a_full_network_learns_the_painted_faces_and_the_saved_model_detects_them(tmp_path: Path) -> None:
    # At twice this learning rate, the rounding of the first step changes the result of the last one.
    settings = full_network_settings({"mesh": True}, epochs=8, learning_rate=0.005)
    state, network = train_on_painted_scenes(tmp_path, settings, repeats=8)
    history = state.history
    for name in ("classification", "box", "landmarks", "mesh", "identity"):
        assert history[-1][f"loss.{name}"] < 0.6 * history[0][f"loss.{name}"], name
    assert all(row["loss.lwf"] == 0 for row in history)
    mesh = label_meshes(tmp_path / "scenes")
    images = read_painted_images(tmp_path / "scenes")
    detections = TorchPredictor(network).predict(images, DETECT)
    assert [len(each) for each in detections] == [1, 1, 1, 1, 1, 1, 0]
    for each in detections[:6]:
        assert pairwise_iou(each.boxes, FACE_BOX[None]).item() > 0.5
        assert each.embeddings.shape == (1, 8) and each.meshes is not None
        # Closer to the random vertices than their center is.
        center_error = np.abs(mesh - mesh.mean(0)).mean()
        assert np.abs(each.meshes[0] - mesh + [0, 0, mesh[NOSE_TIP, 2]]).mean() < 0.9 * center_error
    # The predictor of a saved model folds the batch norms; its results are the same.
    save_model(tmp_path / "model", network)
    loaded = load_torch_predictor(tmp_path / "model").predict(images, DETECT)
    for before, after in zip(detections, loaded, strict=True):
        np.testing.assert_allclose(after.boxes, before.boxes, atol=0.01)
        np.testing.assert_allclose(after.scores, before.scores, atol=1e-3)
        np.testing.assert_allclose(after.embeddings, before.embeddings, atol=1e-3)


def test_lwf_covers_both_stages_of_a_cascade(tmp_path: Path) -> None:
    """No public detector has two stages, so a random network is the initial one."""
    trainer = build_trainer(write_painted_scenes(tmp_path), full_network_settings({}, tasks="detection"), data_seed=1)
    network, losses = trainer.network.eval(), trainer.losses
    losses.initial_network = copy.deepcopy(network)
    batch = next(iter(trainer.scenes.batches(0, 4)))
    assert losses.scene_losses(batch, 0, 0)["lwf"].item() == pytest.approx(0, abs=1e-5)
    cascade = network.detector.cascade
    assert cascade is not None
    for heads in (network.detector.heads, cascade.heads):
        with torch.no_grad():
            heads.logits[0].bias += torch.tensor([0.0, 1.0]).repeat(3)
        assert losses.scene_losses(batch, 0, 0)["lwf"].item() > 0.01
        with torch.no_grad():
            heads.logits[0].bias -= torch.tensor([0.0, 1.0]).repeat(3)


@pytest.mark.parametrize("context", ["deformable", "modulated", "none"])
def test_every_context_module_trains(tmp_path: Path, context: str) -> None:
    model = {"context": context, "cascade": "none"}
    state, network = train_on_painted_scenes(
        tmp_path, full_network_settings(model, epochs=2, tasks="detection"), repeats=3
    )
    for name in ("classification", "box", "landmarks"):
        assert state.history[-1][f"loss.{name}"] < state.history[0][f"loss.{name}"], name
    offsets = [parameter for name, parameter in network.named_parameters() if ".offsets." in name]
    assert bool(offsets) == (context != "none") and all(bool(parameter.any()) for parameter in offsets)


def test_an_imagenet_backbone_has_the_learning_rate_factor_and_the_rest_the_full_rate(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(ResNet("resnet18").state_dict(), tmp_path / "resnet18.pth")
    model = {"init": "imagenet", "checkpoint": str(tmp_path / "resnet18.pth")}
    _, network = train_on_painted_scenes(tmp_path, full_network_settings(model, epochs=1, backbone_lr_mult=0.0))
    public = torch.load(tmp_path / "resnet18.pth", weights_only=True)
    assert all(value.equal(public[name]) for name, value in network.detector.backbone.state_dict().items())
    torch.manual_seed(0)
    untrained = build_pretrained(network.settings).state_dict()
    assert not any(
        value.equal(untrained[name])
        for name, value in network.state_dict().items()
        if name.endswith("conv.weight") and not name.startswith("detector.backbone.")
    )


def test_the_classifier_of_feature_supervision_is_trained_and_not_saved(tmp_path: Path) -> None:
    settings = full_network_settings({}, tasks="detection")
    plain = build_trainer(write_painted_scenes(tmp_path), settings, data_seed=1).network
    trainer = build_trainer(tmp_path, changed(settings, weights={"feature_supervision": 1.0}), data_seed=1)
    before = [each.clone() for each in trainer.modules["feature_supervision"].parameters()]
    trainer.set_learning_rates(1, 4)
    batch = next(iter(trainer.scenes.batches(0, 4)))
    assert trainer.train_step(batch, None, 0, 0)["feature_supervision"].item() > 0
    after = trainer.modules["feature_supervision"].parameters()
    assert not any(one.equal(other) for one, other in zip(before, after, strict=True))
    save_model(tmp_path / "model", trainer.network)
    assert load_model(tmp_path / "model").state_dict().keys() == plain.state_dict().keys()
