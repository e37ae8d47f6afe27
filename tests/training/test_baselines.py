"""Baselines by name: each trains a step on another device as on the CPU, and resumes after an interruption."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from helpers.painted_scenes import write_painted_scenes
from helpers.pretend import kinds, watch
from helpers.training_settings import FACE_CROPS, UNCROPPED, changed, tiny_settings
from onelook.data.manifest import read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.inference.mtcnn_cascade import propose_squares
from onelook.model.baseline_folder import BASELINES
from onelook.model.mtcnn import WINDOW_SIZES, Mtcnn
from onelook.settings import BaselineName, Settings
from onelook.training.baselines import BaselineTraining, train_baseline
from onelook.training.mtcnn_training import NETWORK_NAMES, MtcnnTrainer
from onelook.training.window_sampling import WindowBatch

DEVICES = ["pretend", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_painted_scenes(tmp_path_factory.mktemp("scenes"))


def settings(**train: Any) -> Settings:
    """Return one short epoch on uncropped scenes."""
    return changed(tiny_settings(**{"epochs": 1, "batch_size": 7, "learning_rate": 0.001, **train}), augment=UNCROPPED)


def training(scenes: Path, folder: Path, settings: Settings, device: str = "cpu") -> BaselineTraining:
    return BaselineTraining(
        manifest=read_manifest(scenes),
        settings=settings,
        device=torch.device(device),
        checkpoints=folder,
        propose=propose_squares,
        validate=lambda network: {"selection_metric": 0.0},
    )


def train_weights(name: BaselineName, training: BaselineTraining) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    network, minutes = train_baseline(name, training)
    assert minutes > 0
    return {key: value.cpu() for key, value in network.state_dict().items()}


def test_every_name_of_the_settings_has_a_network() -> None:
    assert BASELINES.keys() == set(get_args(BaselineName))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["mobilefacenet", "mobilefacenet_average"])
def test_a_recognizer_trains_a_step_on_another_device(
    name: BaselineName, device: str, scenes: Path, tmp_path: Path
) -> None:
    crops = settings(batch_size=0, backbone_lr_mult=0.0, faces=FACE_CROPS)
    expected, found = (train_weights(name, training(scenes, tmp_path / each, crops, each)) for each in ("cpu", device))
    torch.manual_seed(5)
    untrained = BASELINES[name](crops.model.embedding.dim).state_dict()
    moved = [key for key, value in expected.items() if not value.equal(untrained[key])]
    assert any(".body." in key for key in moved) and any(".projection." in key for key in moved)
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-2, atol=3e-3, msg=key)
    again = replace(
        training(scenes, tmp_path / "cpu", crops),
        on_epoch_end=lambda epoch, metrics: pytest.fail("it is trained again"),
    )
    assert all(value.equal(expected[key]) for key, value in train_weights(name, again).items())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("number", range(3), ids=NETWORK_NAMES)
def test_a_step_of_mtcnn_equals_that_on_the_cpu(number: int, device: str, scenes: Path) -> None:
    """R-Net and O-Net mine the windows that the networks before accept: fixed ones here, as rounding changes those."""
    losses = {}
    for each in ("cpu", device):
        torch.manual_seed(0)
        run = settings()
        dataset = SceneDataset(read_manifest(scenes), run.train.augment, 0)

        def propose(networks: Any, images: torch.Tensor) -> torch.Tensor:
            assert len(networks) == number > 0
            square = torch.arange(4, device=images.device).ge(2) * 30.5
            return square.expand(len(images), 2, 4)

        trainer = MtcnnTrainer(Mtcnn(), dataset, run, 1, propose, torch.device(each))
        batch = next(dataset.batches(0, 2))
        with watch() as events:
            values = trainer.train_step(batch, number, 0)
        assert each == "cpu" or not kinds(events), events
        losses[each] = {name: float(value.detach()) for name, value in values.items()}
        gradients = [parameter.grad for parameter in trainer.mtcnn.networks[number].parameters()]
        assert all(gradient is not None and bool(gradient.any()) for gradient in gradients)
    assert losses[device] == pytest.approx(losses["cpu"], rel=1e-4)


def test_a_step_makes_the_updates_of_a_batch_on_other_windows_each(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = settings().model_dump() | {"mtcnn": {"learning_rate": 0.5, "updates_per_batch": 3}}
    run = Settings.model_validate(tree)
    proposed: list[int] = []
    windows: list[torch.Tensor] = []
    rates: list[float] = []

    def propose(networks: Any, images: torch.Tensor) -> torch.Tensor:
        proposed.append(len(networks))
        return torch.zeros(len(images), 1, 4)

    dataset = SceneDataset(read_manifest(scenes), run.train.augment, 0)
    trainer = MtcnnTrainer(Mtcnn(), dataset, run, 2, propose, torch.device("cpu"))
    batch = next(dataset.batches(0, 2))
    sample, optimizer = trainer.sample_windows, trainer.optimizers[1]

    def record_windows(*arguments: Any) -> WindowBatch:
        drawn = sample(*arguments)
        windows.append(drawn.windows)
        return drawn

    monkeypatch.setattr(trainer, "sample_windows", record_windows)
    optimizer.register_step_post_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
    means = trainer.train_step(batch, 1, 1)
    assert proposed == [1]  # windows are mined once for a batch
    assert len(windows) == 3 and not windows[0].equal(windows[1])
    # Updates 3 to 5 of 6, of which the first warms up: 0.5 (1 + cos(pi (n - 1) / 5)) times the peak.
    factors = [0.001 + 0.999 * (1 + np.cos(np.pi * (n - 1) / 5)) / 2 for n in (3, 4, 5)]
    assert rates == pytest.approx([0.5 * factor for factor in factors])
    assert all(state["step"] == 3 for state in optimizer.state.values())
    assert not trainer.optimizers[0].state and not trainer.optimizers[2].state
    assert all(value.ndim == 0 and not value.requires_grad for value in means.values())


def test_rnet_and_onet_get_the_squares_that_the_networks_before_accept(scenes: Path) -> None:
    run = settings()
    dataset = SceneDataset(read_manifest(scenes), run.train.augment, 0)
    mtcnn = Mtcnn()
    with torch.no_grad():
        for network in mtcnn.networks[:2]:  # they accept every window
            network.logits.bias.copy_(torch.tensor([-9.0, 9]))
    images = next(dataset.batches(0, 1)).images
    for number in (1, 2):
        squares = propose_squares(mtcnn.networks[:number], images)
        sides = squares[..., 2:] - squares[..., :2]
        assert len(squares) == 1 and (sides[..., 0] >= WINDOW_SIZES[0]).any(1).all()
        torch.testing.assert_close(sides[..., 0], sides[..., 1])


def test_mtcnn_resumes_within_the_epoch_of_a_network(scenes: Path, tmp_path: Path) -> None:
    run = settings(batch_size=3, checkpoint_steps=1)  # two steps an epoch, and an epoch for each network
    expected = train_weights("mtcnn", training(scenes, tmp_path / "whole", run))
    interrupted = training(scenes, tmp_path / "interrupted", run)
    mined: list[int] = []

    def propose(networks: Any, images: torch.Tensor) -> torch.Tensor:
        mined.append(len(networks))
        if len(mined) == 4:
            raise KeyboardInterrupt
        return propose_squares(networks, images)

    with pytest.raises(KeyboardInterrupt):
        train_weights("mtcnn", replace(interrupted, propose=propose))
    epochs: list[int] = []
    torch.manual_seed(6)  # without effect: the weights come from the checkpoint
    resumed = replace(interrupted, propose=propose, on_epoch_end=lambda epoch, metrics: epochs.append(epoch))
    network, _ = train_baseline("mtcnn", resumed)
    assert mined == [1, 1, 2, 2, 2] and epochs == [3]
    for key, value in network.state_dict().items():
        assert value.equal(expected[key]), key
