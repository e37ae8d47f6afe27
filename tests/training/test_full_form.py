"""RetinaFace's full form through the same loop: it learns, is saved, and looks."""

import copy
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_loop import tiny_settings, write_scenes

from onelook.data.manifest import read_manifest, write_manifest
from onelook.data.mesh_labels import write_meshes
from onelook.data.scene_dataset import SceneDataset
from onelook.errors import DataError
from onelook.geometry.boxes import pairwise_iou
from onelook.geometry.mesh import NOSE_TIP, VERTICES
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.resnet import ResNet
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, Settings
from onelook.training.loop import Callbacks, Trainer

FULL = {"backbone": "resnet18", "pyramid_levels": "full", "fpn_channels": 16, "cascade": True, "init": "random"}
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=512)


def full_settings(form: dict, **train: object) -> Settings:
    tree = tiny_settings(**{"batch": 4, "backbone_lr_mult": 1.0, "learning_rate": 0.01, **train}).model_dump()
    tree["model"] |= FULL | form
    tree["train"]["augment"] |= {"crop": 96, "zoom": (1, 1)}
    return Settings.model_validate(tree)


def trained(
    folder: Path, settings: Settings, *, rounds: int = 1, label: Callable[[Path], object] = lambda scenes: None
) -> tuple[JointNetwork, list[dict[str, float]]]:
    """Train on the painted scenes, each seen so many times an epoch; `label` may add to the folder."""
    torch.manual_seed(0)
    torch.set_num_threads(settings.base.threads)
    network = build_pretrained(settings.model)
    scenes = write_scenes(folder / "scenes")
    write_manifest(scenes, list(read_manifest(scenes).scenes) * rounds)
    label(scenes)
    trainer = Trainer(network, SceneDataset(read_manifest(scenes), settings.train.augment, 1), settings)
    watchers = Callbacks(validate=lambda network: {"figure": 0.0})
    return network, trainer.run(folder / "checkpoints", "k", watchers).history


def label_meshes(scenes: Path) -> np.ndarray:
    """The same mesh for every painted face, which fills its box."""
    mesh = np.random.default_rng(0).uniform((24, 16, -20), (60, 64, 20), (VERTICES, 3)).astype(np.float32)
    write_meshes(scenes, read_manifest(scenes).scenes, lambda photo, box, landmarks: mesh)
    return mesh


def test_it_learns_the_painted_faces_and_finds_them_with_the_saved_model(tmp_path: Path) -> None:
    # At twice this rate a rounding in the first step decides how the last one ends.
    settings = full_settings({"mesh": True}, epochs=8, learning_rate=0.005)
    network, history = trained(tmp_path, settings, rounds=8, label=label_meshes)
    for name in ("classification", "box", "landmarks", "mesh", "identity"):
        assert history[-1][f"loss.{name}"] < 0.6 * history[0][f"loss.{name}"], name
    assert all(row["loss.keep"] == 0 for row in history)
    mesh = label_meshes(tmp_path / "scenes")
    photos = [cv2.cvtColor(cv2.imread(str(tmp_path / f"scenes/images/{i}.png")), cv2.COLOR_BGR2RGB) for i in range(7)]
    found = TorchPredictor(network).predict(photos, DETECT)
    assert [len(each) for each in found] == [1, 1, 1, 1, 1, 1, 0]
    for each in found[:6]:
        assert pairwise_iou(each.boxes, np.array([[24, 16, 60, 64]], np.float32)).item() > 0.5
        assert each.embeddings.shape == (1, 8) and each.meshes is not None
        # Nearer to the random places of the vertices than their middle is.
        middle = np.abs(mesh - mesh.mean(0)).mean()
        assert np.abs(each.meshes[0] - mesh + [0, 0, mesh[NOSE_TIP, 2]]).mean() < 0.9 * middle
    # The folder's looker folds the batch norms; it sees the same.
    save_model(tmp_path / "model", network)
    for one, other in zip(found, load_torch_predictor(tmp_path / "model").predict(photos, DETECT), strict=True):
        np.testing.assert_allclose(other.boxes, one.boxes, atol=0.01)
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-3)
        np.testing.assert_allclose(other.embeddings, one.embeddings, atol=1e-3)


def test_both_stages_are_kept_near_a_network_that_training_starts_from(tmp_path: Path) -> None:
    """No public detector has two stages; whatever network it is, staying costs nothing and leaving it does."""
    settings = full_settings({}, tasks="detection")
    network = build_pretrained(settings.model).eval()
    scenes = SceneDataset(read_manifest(write_scenes(tmp_path / "scenes")), settings.train.augment, 1)
    losses = Trainer(network, scenes, settings).losses
    losses.starting = copy.deepcopy(network)
    batch = next(iter(scenes.batches(0, 4)))
    assert losses.of_scenes(batch, 0, 0)["keep"].item() == pytest.approx(0, abs=1e-5)
    second = network.detector.second
    assert second is not None
    for heads in (network.detector.heads, second.heads):
        with torch.no_grad():
            heads.logits[0].bias += torch.tensor([0.0, 1.0]).repeat(3)
        assert losses.of_scenes(batch, 0, 0)["keep"].item() > 0.01
        with torch.no_grad():
            heads.logits[0].bias -= torch.tensor([0.0, 1.0]).repeat(3)


def test_a_mesh_head_without_anything_to_learn_from_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model.mesh: true needs meshes .* prepare.mesh_labels: true"):
        trained(tmp_path, full_settings({"mesh": True}, epochs=1, tasks="detection"))


@pytest.mark.parametrize("context", ["deformable", "modulated", "none"])
def test_every_context_trains(tmp_path: Path, context: str) -> None:
    form = {"context": context, "cascade": False}
    network, history = trained(tmp_path, full_settings(form, epochs=2, tasks="detection"), rounds=3)
    for name in ("classification", "box", "landmarks"):
        assert history[-1][f"loss.{name}"] < history[0][f"loss.{name}"], name
    offsets = [parameter for name, parameter in network.named_parameters() if ".offsets." in name]
    assert bool(offsets) == (context != "none") and all(bool(parameter.any()) for parameter in offsets)


def test_offsets_learn_at_a_tenth_of_the_rate(tmp_path: Path) -> None:
    settings = full_settings({"context": "deformable", "cascade": False}, epochs=1, tasks="detection")
    network = build_pretrained(settings.model)
    scenes = SceneDataset(read_manifest(write_scenes(tmp_path)), settings.train.augment, 0)
    trainer = Trainer(network, scenes, settings)
    offsets = {id(parameter) for name, parameter in network.named_parameters() if ".offsets." in name}
    shares: dict[bool, set[float]] = {True: set(), False: set()}
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            shares[id(parameter) in offsets].add(group["share"])
    assert shares == {True: {0.1}, False: {1.0}}


def test_a_trunk_from_imagenet_learns_at_its_share_and_the_rest_at_the_full_rate(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(ResNet("resnet18").state_dict(), tmp_path / "resnet18.pth")
    form = {"init": "imagenet", "checkpoint": str(tmp_path / "resnet18.pth")}
    network, _ = trained(tmp_path, full_settings(form, epochs=1, trunk_rate=0.0))
    public = torch.load(tmp_path / "resnet18.pth", weights_only=True)
    assert all(value.equal(public[name]) for name, value in network.detector.trunk.state_dict().items())
    torch.manual_seed(0)
    untrained = build_pretrained(network.settings).state_dict()
    assert not any(
        value.equal(untrained[name])
        for name, value in network.state_dict().items()
        if name.endswith("conv.weight") and not name.startswith("detector.trunk.")
    )
