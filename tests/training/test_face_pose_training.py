"""Training of FacePoseNet: steps on another device, resuming, and learning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.painted_scenes import write_painted_scenes
from helpers.pretend import kinds, watch
from helpers.training_settings import UNCROPPED, changed, tiny_settings
from onelook.data.manifest import read_manifest
from onelook.data.posed_faces import PosedFaces, read_posed_faces
from onelook.errors import OnelookError
from onelook.geometry.face_squares import FACE_SIDE
from onelook.model.face_pose_net import FacePoseNet
from onelook.settings import Settings
from onelook.training import face_pose_training
from onelook.training.baselines import BaselineTraining, train_baseline
from onelook.training.face_pose_training import FacePoseTrainer, coarsen

DEVICES = ["pretend", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_painted_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_pose_training, "FACES_PER_STEP", 4)


def settings(**train: Any) -> Settings:
    return changed(tiny_settings(**{"epochs": 2, "batch_size": 3, "learning_rate": 0.001, **train}), augment=UNCROPPED)


def posed_faces(scenes: Path) -> PosedFaces:
    manifest = read_manifest(scenes)
    return read_posed_faces(manifest, manifest.select("train"), 0)


def build_trainer(scenes: Path, device: str, run: Settings, steps: int = 2) -> FacePoseTrainer:
    torch.manual_seed(0)
    return FacePoseTrainer(FacePoseNet(), posed_faces(scenes), run, steps, torch.device(device))


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_equals_that_on_the_cpu_and_does_not_wait(device: str, scenes: Path) -> None:
    torch.use_deterministic_algorithms(True)
    found = {}
    for each in ("cpu", device):
        trainer = build_trainer(scenes, each, settings())
        with watch() as events:
            losses = trainer.train_step(trainer.make_batch(0, 0), 0, 0)
        assert each == "cpu" or not kinds(events), events
        found[each] = {name: float(loss.detach()) for name, loss in losses.items()}
    assert found[device] == pytest.approx(found["cpu"], rel=1e-3) and found["cpu"].keys() == {"pose", "total"}


def test_resumes_within_an_epoch(scenes: Path, tmp_path: Path) -> None:
    run = settings(checkpoint_steps=1)
    whole = build_trainer(scenes, "cpu", run, 3)
    history = whole.run(tmp_path / "whole", "key", lambda epoch, metrics: None)
    interrupted = build_trainer(scenes, "cpu", run, 3)
    steps = 0

    def stop(*arguments: Any) -> dict[str, Tensor]:
        nonlocal steps
        steps += 1
        if steps == 5:  # the second step of the second epoch
            raise KeyboardInterrupt
        return FacePoseTrainer.train_step(interrupted, *arguments)

    interrupted.train_step = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(tmp_path / "again", "key", lambda epoch, metrics: None)
    resumed = build_trainer(scenes, "cpu", run, 3)
    epochs: list[int] = []
    assert resumed.run(tmp_path / "again", "key", lambda epoch, metrics: epochs.append(epoch)) == history
    assert epochs == [2]
    for key, value in resumed.network.state_dict().items():
        assert value.equal(whole.network.state_dict()[key]), key


def test_poses_of_views_are_standardized(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_pose_training, "FACES_PER_STEP", 150)
    monkeypatch.setattr(face_pose_training, "_STATISTICS_VIEWS", 100)
    trainer = build_trainer(scenes, "cpu", settings())
    labels = trainer.network.level.standardize_poses(trainer.make_batch(0, 0).poses)
    np.testing.assert_allclose(labels.mean(0), 0, atol=0.4)
    np.testing.assert_allclose(labels.std(0)[1:], 1, atol=0.4)  # all painted faces have the same pitch


def test_poses_of_painted_faces_are_learned(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean squared distance falls below that of the mean pose, which is 6."""
    monkeypatch.setattr(face_pose_training, "FACES_PER_STEP", 16)
    trainer = build_trainer(scenes, "cpu", settings(epochs=1, learning_rate=0.003), steps=40)
    losses = [float(trainer.train_step(trainer.make_batch(0, step), 0, step)["pose"].detach()) for step in range(40)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])


def test_coarse_images_have_the_means_of_blocks_as_their_own() -> None:
    images = torch.rand(3, 1, FACE_SIDE, FACE_SIDE)
    coarse = coarsen(images, torch.tensor([1, 2, 4]))
    assert coarse[0].equal(images[0])
    smoothness = (coarse[..., 1:] - coarse[..., :-1]).abs().mean((1, 2, 3))
    assert smoothness[0] > 2 * smoothness[1] > 4 * smoothness[2]
    torch.testing.assert_close(coarse.mean((2, 3)), images.mean((2, 3)), atol=1e-3, rtol=0)


def test_the_baseline_is_trained_by_its_name_once(scenes: Path, tmp_path: Path) -> None:
    training = BaselineTraining(
        manifest=read_manifest(scenes),
        settings=settings(epochs=1),
        device=torch.device("cpu"),
        checkpoints=tmp_path,
        propose=lambda networks, images: images,
        validate=lambda network: {},
    )
    network, minutes = train_baseline("landmarks_face_pose_net", training)
    assert isinstance(network, FacePoseNet) and minutes > 0
    again = replace(training, on_epoch_end=lambda epoch, metrics: pytest.fail("it is trained again"))
    loaded, _ = train_baseline("landmarks_face_pose_net", again)
    for key, value in loaded.state_dict().items():
        assert value.equal(network.state_dict()[key])


def test_a_loss_that_is_not_finite_stops_the_training(scenes: Path, tmp_path: Path) -> None:
    trainer = build_trainer(scenes, "cpu", settings())
    with torch.no_grad():
        next(trainer.network.level.parameters()).fill_(float("inf"))
    with pytest.raises(OnelookError, match="the loss of pose is not finite in epoch 1, step 1"):
        trainer.run(tmp_path, "key", lambda epoch, metrics: None)
