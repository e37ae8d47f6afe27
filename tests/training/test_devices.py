"""Training steps on another device equal those on the CPU: on the pretended one here, and on CUDA where a card is.

The pretended device counts what CUDA refuses or waits for. On CUDA, a wait that is not allowed is an error.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from helpers.aligned_crops import embed_aligned
from helpers.painted_scenes import embed_painted_crops, label_meshes, write_dome_model, write_painted_scenes
from helpers.pretend import Event, count_operations, kinds, watch
from helpers.training_settings import (
    FACE_CROPS,
    UNCROPPED,
    changed,
    face_crop_settings,
    full_network_settings,
    grid_settings,
    identity_loss_settings,
    tiny_settings,
)
from helpers.trainings import build_trainer
from onelook.data.label_arrays import write_teacher_embeddings
from onelook.data.loader import DEFAULT_LOADER, LoaderOptions
from onelook.data.manifest import read_manifest, select_training_scenes
from onelook.distributed import all_reduce_mean
from onelook.gpu_check.inference_check import without_tf32
from onelook.losses.identity import IDENTITY_LOSSES
from onelook.settings import Settings
from onelook.training.callbacks import Callbacks

DEVICES = ["pretend", pytest.param("cuda", marks=pytest.mark.gpu)]


def dense_full_network(**train: Any) -> Settings:
    """Return training of the full network with cascade, mesh head and dense head."""
    tree = full_network_settings({"mesh": True, "dense": True}, **train).model_dump()
    tree["prepare"] |= {"mesh_labels": True, "morphable_model": True}
    return Settings.model_validate(tree)


def deformable_network(**train: Any) -> Settings:
    model = {"context": "modulated", "init": "random", "fpn_channels": 16}
    return changed(tiny_settings(backbone_lr_mult=1.0, **train), model=model, augment=UNCROPPED)


def supervised_network(**train: Any) -> Settings:
    """Return training of the full network with RefineFace's losses."""
    tree = full_network_settings({}, **train).model_dump()
    tree["train"]["matching"]["scale_margin"] = 1.0
    tree["train"]["weights"]["feature_supervision"] = 1.0
    return Settings.model_validate(tree)


FORMS = {
    "light": lambda **train: changed(tiny_settings(**train), augment=UNCROPPED),
    "full with cascade, mesh and dense head": dense_full_network,
    "selective cascade": lambda **train: full_network_settings({"cascade": "selective"}, **train),
    "receptive field enhancement": lambda **train: full_network_settings({"context": "rfe"}, **train),
    "scale margin and feature supervision": supervised_network,
    "grid": lambda **train: grid_settings((5, 11, 19), **train),
    "grid on the released backbone": lambda **train: changed(
        grid_settings((5,), **(train | {"backbone_lr_mult": 0.5})), model={"init": "released"}
    ),
    "deformable": deformable_network,
    "face crops": lambda **train: changed(face_crop_settings(epochs=1, **train), augment=UNCROPPED),
    **{name: lambda name=name, **train: identity_loss_settings(name, **train) for name in IDENTITY_LOSSES},
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return scenes with meshes, a morphable model and teacher embeddings."""
    root = write_painted_scenes(tmp_path_factory.mktemp("scenes"))
    label_meshes(root)
    write_dome_model(root)
    write_teacher_embeddings(
        root, select_training_scenes(read_manifest(root).scenes), embed_aligned(embed_painted_crops)
    )
    return root


@contextmanager
def watch_device(device: str, *, may_wait: bool) -> Iterator[Counter[Event]]:
    """Count the events on the pretended device; on CUDA, raise where the CPU waits, unless it may."""
    if device == "cuda" and not may_wait:
        torch.cuda.set_sync_debug_mode("error")
    try:
        with watch() if device == "pretend" else nullcontext(Counter()) as events:
            yield events
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


class Step(NamedTuple):
    """Losses by name, gradients by parameter, and events of a training step that reads no loss."""

    losses: dict[str, float]
    gradients: dict[str, Tensor]
    events: Counter[Event]


def train_step(scenes: Path, settings: Settings, device: str, loader: LoaderOptions = DEFAULT_LOADER) -> Step:
    """Train the first step of the last epoch."""
    torch.use_deterministic_algorithms(True)
    trainer = build_trainer(scenes, settings, device=device, loader=loader)
    with torch.no_grad():
        for name, parameter in trainer.network.named_parameters():
            if name.endswith(".offsets.bias"):  # between cells, since samples at their centers have two gradients
                parameter += 0.3
    epoch = settings.train.epochs - 1
    with closing(trainer.batches([epoch])) as batches:
        pair = next(batches)
    trainer.network.train()
    # The gradient scaler of float16 reads whether a gradient has overflowed.
    with without_tf32(), watch_device(device, may_wait=trainer.scaler.is_enabled()) as events:
        losses = trainer.train_step(*pair, epoch, 0)
    gradients = {name: each.grad.cpu() for name, each in trainer.modules.named_parameters() if each.grad is not None}
    return Step(all_reduce_mean(losses), gradients, events)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", FORMS)
def test_a_step_equals_that_on_the_cpu_and_does_not_wait(form: str, device: str, scenes: Path) -> None:
    expected, found = (train_step(scenes, FORMS[form](), each) for each in ("cpu", device))
    assert found.losses == pytest.approx(expected.losses, rel=1e-4, abs=1e-5)
    assert found.gradients.keys() == expected.gradients.keys()
    for name, gradient in found.gradients.items():
        torch.testing.assert_close(gradient, expected.gradients[name], rtol=1e-2, atol=1e-4, msg=name)
    assert not kinds(found.events), found.events


def test_an_epoch_reads_the_losses_once_a_step(scenes: Path) -> None:
    trainer = build_trainer(scenes, FORMS["light"](batch_size=2), device="pretend")
    with closing(trainer.batches([0])) as batches, watch() as events:
        trainer.train_epoch(0, batches, lambda epoch, step: None)
    # The losses of three steps, and the task weights at the end of the epoch.
    assert kinds(events) == {"host": 4}, events


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", ["light", "face crops"])
def test_images_are_distorted_on_the_device_without_a_wait(form: str, device: str, scenes: Path) -> None:
    settings = changed(FORMS[form](), augment={"photometric": 1.0})
    loader = LoaderOptions(threads=2, defer_photometric=True)
    expected, found = (train_step(scenes, settings, each, loader) for each in ("cpu", device))
    assert found.losses == pytest.approx(expected.losses, rel=1e-3, abs=1e-4)
    assert not kinds(found.events), found.events


@pytest.mark.parametrize("form", ["light", "full with cascade, mesh and dense head", "grid", "face crops"])
def test_the_number_of_operations_does_not_depend_on_the_batch_size(form: str, scenes: Path) -> None:
    sizes = [{"batch_size": 2}, {"batch_size": 4}]
    if form == "face crops":
        sizes = [{"faces": FACE_CROPS | size} for size in sizes]
    counts = [count_operations(train_step(scenes, FORMS[form](**size), "pretend").events) for size in sizes]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("device", DEVICES)
def test_float16_scales_the_gradients_and_keeps_the_scale(device: str, scenes: Path, tmp_path: Path) -> None:
    expected, found = (
        train_step(scenes, FORMS["light"](precision=precision), device) for precision in ("float32", "float16")
    )
    assert found.losses["total"] == pytest.approx(expected.losses["total"], rel=0.02)
    for name, gradient in found.gradients.items():  # unscaled before they are clipped
        assert float(gradient.norm()) == pytest.approx(float(expected.gradients[name].norm()), rel=0.2, abs=1e-3)
    if device == "pretend":
        assert kinds(found.events) == {"host": 1}, found.events
    settings = FORMS["light"](precision="float16", epochs=1)
    run(scenes, tmp_path, settings, [device])
    trainer = build_trainer(scenes, settings, device=device)
    trainer.run(tmp_path, "key", Callbacks(lambda network: {"selection_metric": 0.0}))
    assert trainer.scaler.state_dict()["_growth_tracker"] == 3  # the number of steps


@pytest.mark.parametrize("device", DEVICES)
def test_a_training_goes_on_on_another_device(device: str, scenes: Path, tmp_path: Path) -> None:
    """An epoch on the device, the second on the CPU, and the other way round, equal two epochs on the CPU."""
    settings = FORMS["light"](epochs=2)
    expected = run(scenes, tmp_path / "cpu", settings, ["cpu"])
    for number, devices in enumerate([("cpu", device), (device, "cpu")]):
        found = run(scenes, tmp_path / str(number), settings, devices)
        for row, expected_row in zip(found, expected, strict=True):
            assert row == pytest.approx(expected_row, rel=1e-3, abs=1e-4)


def run(scenes: Path, checkpoints: Path, settings: Settings, devices: Sequence[str]) -> list[dict[str, float]]:
    """Train on each device in turn, interrupted after the first epoch; return the history."""
    for device in devices:
        trainer = build_trainer(scenes, settings, device=device)

        def stop(epoch: int, metrics: dict[str, float], is_last: bool = device == devices[-1]) -> None:
            if epoch == 1 and not is_last:
                raise KeyboardInterrupt

        callbacks = Callbacks(lambda network: {"selection_metric": 0.0}, on_epoch_end=stop)
        with suppress(KeyboardInterrupt):
            state = trainer.run(checkpoints, "key", callbacks)
    return state.history
