"""Training of landmark cascades: steps on another device, resuming, and learning."""

from collections.abc import Callable
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
from onelook.data.landmark_faces import LandmarkFaces, read_landmark_faces
from onelook.data.manifest import read_manifest
from onelook.errors import OnelookError
from onelook.model.cfan import AutoencoderLevel, GlobalAutoencoder
from onelook.model.coarse_to_fine import build_coarse_to_fine
from onelook.model.landmark_cascade import LandmarkCascade, Level
from onelook.model.sun2013 import build_sun2013
from onelook.settings import Settings
from onelook.training import landmark_training
from onelook.training.baselines import BaselineTraining, train_baseline
from onelook.training.landmark_training import LandmarkTrainer

DEVICES = ["pretend", pytest.param("cuda", marks=pytest.mark.gpu)]


class SmallLocalAutoencoder(AutoencoderLevel):
    feature_side = 48

    def __init__(self) -> None:
        super().__init__(640, (24, 16))


def build_small_cfan() -> LandmarkCascade:
    """Return CFAN with small networks."""
    level = GlobalAutoencoder()
    AutoencoderLevel.__init__(level, 2500, (24, 16))
    return LandmarkCascade([level, SmallLocalAutoencoder()])


CASCADES: dict[str, Callable[[], LandmarkCascade]] = {
    "sun2013": build_sun2013,
    "coarse_to_fine": build_coarse_to_fine,
    "cfan": build_small_cfan,
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_painted_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_training, "FACES_PER_STEP", 4)
    monkeypatch.setattr(landmark_training, "VIEWS_PER_FACE", 2)


def settings(**train: Any) -> Settings:
    return changed(tiny_settings(**{"epochs": 1, "batch_size": 3, "learning_rate": 0.001, **train}), augment=UNCROPPED)


def painted_faces(scenes: Path) -> LandmarkFaces:
    manifest = read_manifest(scenes)
    return read_landmark_faces(manifest, manifest.select("train"))


def build_trainer(name: str, scenes: Path, device: str, run: Settings, steps: int = 2) -> LandmarkTrainer:
    torch.manual_seed(0)
    return LandmarkTrainer(CASCADES[name](), painted_faces(scenes), run, steps, torch.device(device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASCADES)
def test_a_step_of_every_level_equals_that_on_the_cpu_and_does_not_wait(name: str, device: str, scenes: Path) -> None:
    torch.use_deterministic_algorithms(True)
    run = settings()
    trainers = {each: build_trainer(name, scenes, each, run) for each in ("cpu", device)}
    for epoch, level in enumerate(trainers["cpu"].cascade.levels):
        found: dict[str, dict[str, float]] = {}
        for each, trainer in trainers.items():
            for step in range(1 + isinstance(level, AutoencoderLevel)):  # pretrained as an autoencoder, then for points
                trainer.make_batch(epoch, step)  # local features are computed before the steps, on the CPU
                with watch() as events:
                    losses = trainer.train_step(trainer.make_batch(epoch, step), epoch, step)
                assert each == "cpu" or not kinds(events), events
                found.setdefault(each, {}).update({f"{step} {key}": float(v.detach()) for key, v in losses.items()})
        assert found[device] == pytest.approx(found["cpu"], rel=1e-3)
        names = {"0 layer1", "1 points"} if isinstance(level, AutoencoderLevel) else {"0 points"}
        assert names < found["cpu"].keys()


@pytest.mark.parametrize("name", ["coarse_to_fine", "cfan"])
def test_resumes_within_an_epoch_of_a_level(name: str, scenes: Path, tmp_path: Path) -> None:
    run = settings(checkpoint_steps=1)
    whole = build_trainer(name, scenes, "cpu", run)
    history = whole.run(tmp_path / "whole", "key", lambda epoch, metrics: None)
    interrupted = build_trainer(name, scenes, "cpu", run)
    steps = 0

    def stop(*arguments: Any) -> dict[str, Tensor]:
        nonlocal steps
        steps += 1
        if steps == 4:  # the second step of the second level
            raise KeyboardInterrupt
        return LandmarkTrainer.train_step(interrupted, *arguments)

    interrupted.train_step = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(tmp_path / "again", "key", lambda epoch, metrics: None)
    resumed = build_trainer(name, scenes, "cpu", run)
    epochs: list[int] = []
    assert resumed.run(tmp_path / "again", "key", lambda epoch, metrics: epochs.append(epoch)) == history
    assert epochs == list(range(2, len(whole.cascade.levels) + 1))
    for key, value in resumed.cascade.state_dict().items():
        assert value.equal(whole.cascade.state_dict()[key]), key


def test_levels_are_trained_one_after_the_other(scenes: Path) -> None:
    trainer = build_trainer("sun2013", scenes, "cpu", settings())
    before = {key: value.clone() for key, value in trainer.cascade.state_dict().items()}
    trainer.train_step(trainer.make_batch(1, 0), 1, 0)
    moved = {key.split(".")[1] for key, value in trainer.cascade.state_dict().items() if not value.equal(before[key])}
    assert moved == {"1"}


def test_patches_of_sun_start_at_most_the_noise_away_from_the_labels(scenes: Path) -> None:
    trainer = build_trainer("sun2013", scenes, "cpu", settings())
    level = trainer.cascade.levels[1]
    assert isinstance(level, Level) and level.start_noise == 0.05
    batch = trainer.make_batch(1, 0)
    distances = (batch.points - batch.labels).abs()
    assert 0.03 < distances.max() <= 0.05


def test_a_constant_displacement_is_learned(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean error of the painted faces falls below that of the mean face."""
    monkeypatch.setattr(landmark_training, "FACES_PER_STEP", 12)
    run = settings(learning_rate=0.003)
    trainer = build_trainer("coarse_to_fine", scenes, "cpu", run, steps=30)
    losses = [float(trainer.train_step(trainer.make_batch(0, step), 0, step)["points"].detach()) for step in range(30)]
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:3])


def test_a_baseline_is_trained_by_its_name_once(scenes: Path, tmp_path: Path) -> None:
    training = BaselineTraining(
        manifest=read_manifest(scenes),
        settings=settings(),
        device=torch.device("cpu"),
        checkpoints=tmp_path,
        propose=lambda networks, images: images,
        validate=lambda network: {},
    )
    network, minutes = train_baseline("landmarks_coarse_to_fine", training)
    assert isinstance(network, LandmarkCascade) and minutes > 0
    again = replace(training, on_epoch_end=lambda epoch, metrics: pytest.fail("it is trained again"))
    loaded, _ = train_baseline("landmarks_coarse_to_fine", again)
    for key, value in loaded.state_dict().items():
        assert value.equal(network.state_dict()[key])


def test_a_loss_that_is_not_finite_stops_the_training(scenes: Path, tmp_path: Path) -> None:
    trainer = build_trainer("coarse_to_fine", scenes, "cpu", settings())
    with torch.no_grad():
        next(trainer.cascade.levels[0].parameters()).fill_(float("inf"))
    with pytest.raises(OnelookError, match="the loss of level1 is not finite in epoch 1, step 1"):
        trainer.run(tmp_path, "key", lambda epoch, metrics: None)
