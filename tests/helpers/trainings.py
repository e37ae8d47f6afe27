"""Trainings on painted scenes."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from onelook.data.face_dataset import FaceDataset
from onelook.data.loader import DEFAULT_LOADER, LoaderOptions
from onelook.data.manifest import read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.settings import Settings
from onelook.training.callbacks import Callbacks
from onelook.training.loop import Trainer, TrainState


class Trained(NamedTuple):
    """The result of a training."""

    state: TrainState
    network: JointNetwork

    @property
    def history(self) -> list[dict[str, float]]:
        return self.state.history


def build_trainer(
    scenes: Path,
    settings: Settings,
    *,
    init_seed: int = 0,
    data_seed: int = 0,
    device: str = "cpu",
    loader: LoaderOptions = DEFAULT_LOADER,
) -> Trainer:
    """Build a network with weights of `init_seed` and its trainer."""
    torch.manual_seed(init_seed)
    torch.set_num_threads(settings.base.threads)
    manifest = read_manifest(scenes)
    network = build_pretrained(settings.model)
    dataset = SceneDataset(manifest, settings.train.augment, data_seed, loader)
    faces = None
    if settings.train.faces.batch_size > 0:
        faces = FaceDataset(manifest, dataset.index, settings.train.faces, settings.train.augment, data_seed, loader)
    return Trainer(network, dataset, settings, faces, torch.device(device))


def train(
    scenes: Path,
    checkpoints: Path,
    settings: Settings,
    *,
    key: str = "key",
    selection_metrics: Iterable[float] = (),
    stop_after: int | None = None,
    stop_in: tuple[int, int] | None = None,
    init_seed: int = 7,
    data_seed: int = 7,
) -> Trained:
    """Train a network.

    Args:
        scenes: folder of the manifest.
        checkpoints: folder of the checkpoint.
        settings: what is trained.
        key: of the checkpoint.
        selection_metrics: per epoch that is trained; 0 for all others.
        stop_after: number of an epoch; training is interrupted once its checkpoint is saved.
        stop_in: an epoch and a step in it, counted from 1; training is interrupted before the checkpoint of that step.
        init_seed: of the weights.
        data_seed: of order and augmentation.
    """
    trainer = build_trainer(scenes, settings, init_seed=init_seed, data_seed=data_seed)
    remaining = iter(selection_metrics)

    def validate(network: JointNetwork) -> dict[str, float]:
        return {"selection_metric": next(remaining, 0.0)}

    def stop(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == stop_after:
            raise KeyboardInterrupt

    def stop_in_epoch(*step: int) -> None:
        if step == stop_in:
            raise KeyboardInterrupt

    state = trainer.run(checkpoints, key, Callbacks(validate, stop, stop_in_epoch))
    return Trained(state, trainer.network)


def have_equal_weights(a: JointNetwork, b: JointNetwork) -> bool:
    """Return whether two networks have the same bits."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(x.equal(y) for x, y in pairs)
