"""Checks of training: a device computes the CPU's steps, the same bytes each time, without waiting, and resumes."""

import hashlib
import itertools
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onelook.data.loader import DEFAULT_LOADER, LoaderOptions
from onelook.data.manifest import read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.device import half_precision
from onelook.gpu_check.inference_check import without_tf32
from onelook.gpu_check.report import CheckFailedError, Skipped
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.serialization import load_model
from onelook.settings import Settings
from onelook.training.callbacks import Callbacks, Metrics
from onelook.training.loop import BatchPair, Trainer

CPU = torch.device("cpu")
MAX_LOSS_DIFFERENCE = 1e-8
"""Largest relative difference of the losses of a step in float64."""
MAX_GRADIENT_DIFFERENCE = 1e-6
"""Largest difference of a gradient of that step, relative to the largest gradient of the parameter."""
MAX_HALF_DIFFERENCE = 0.02
"""Largest relative difference of the total loss in 16 bits from that in float32."""
MAX_RESUMED_DIFFERENCE = 0.01
"""Largest relative difference of the mean loss of an epoch that another device has resumed."""
RESNET50 = {"backbone": "resnet50", "pyramid_levels": "full", "fpn_channels": 256, "context": "plain"}
_STEPS = 20
# The mean of fewer scenes depends on the rounding of single hard faces.
_HALF_BATCH_SIZE = 16
_SEED = 2026


def make_trainer(
    scenes: Path,
    device: torch.device,
    *,
    model: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    loader: LoaderOptions = DEFAULT_LOADER,
    **train: Any,
) -> Trainer:
    """Build a trainer on scenes that `write_scenes` wrote.

    Args:
        scenes: folder of the scenes.
        device: of the training.
        model: settings of a network with random weights; None: the released weights.
        dtype: of the network.
        loader: the default distorts images on the CPU, so that all devices have the same.
        train: settings that differ from the defaults; `crop_size` is that of the augmentation.
    """
    torch.manual_seed(_SEED)
    torch.use_deterministic_algorithms(True)
    tree = Settings().model_dump()
    tree["model"] |= {"init": "random", **(model or {})}
    tree["train"] |= {"batch_size": 4, "epochs": 2, "backbone_lr_mult": 1.0} | train
    tree["train"]["augment"] |= {"crop_size": tree["train"].pop("crop_size", 160)}
    settings = Settings.model_validate(tree)
    network = load_model(RELEASED) if model is None else JointNetwork(settings.model)
    dataset = SceneDataset(read_manifest(scenes), settings.train.augment, _SEED, loader)
    trainer = Trainer(network.to(dtype), dataset, settings, device=device)
    trainer.modules.to(dtype)
    return trainer


def check_float64_step(scenes: Path, device: torch.device) -> dict[str, Any]:
    """Compare losses and gradients of a step in float64 on the CPU and on the device.

    Raises:
        Skipped: the device has no float64.
        CheckFailedError: they differ by more than rounding.
    """
    if device.type == "mps":
        raise Skipped("MPS has no float64")
    (expected, expected_gradients), (losses, gradients) = (
        _compute_step(make_trainer(scenes, each, dtype=torch.float64)) for each in (CPU, device)
    )
    loss = max(abs(losses[name] - value) / max(1.0, abs(value)) for name, value in expected.items())
    gradient, name = max(
        (float((gradients[name] - value).abs().max() / value.abs().max().clip(min=1e-12)), name)
        for name, value in expected_gradients.items()
    )
    if loss > MAX_LOSS_DIFFERENCE or gradient > MAX_GRADIENT_DIFFERENCE:
        raise CheckFailedError(
            f"step in float64: losses differ by {loss:.2g} (at most {MAX_LOSS_DIFFERENCE}), the gradient of {name} by "
            f"{gradient:.2g} (at most {MAX_GRADIENT_DIFFERENCE}) between {device} and the CPU; please report it"
        )
    return {"loss_difference": loss, "gradient_difference": gradient}


def check_half_precision_step(scenes: Path, device: torch.device) -> dict[str, Any]:
    """Compare the loss of a step in the 16-bit precision of the device with that in float32.

    Raises:
        CheckFailedError: they differ by more than 2 %.
    """
    precision = half_precision(device)
    with without_tf32():
        exact, rounded = (
            _compute_step(make_trainer(scenes, device, precision=each, batch_size=_HALF_BATCH_SIZE))[0]["total"]
            for each in ("float32", precision)
        )
    difference = abs(rounded - exact) / abs(exact)
    if not difference <= MAX_HALF_DIFFERENCE:
        raise CheckFailedError(
            f"step in {precision}: the loss is {rounded:.4g}, in float32 {exact:.4g}; set train.precision: float32"
        )
    return {"precision": precision, "loss_difference": difference}


def check_waits(scenes: Path, device: torch.device) -> dict[str, Any]:
    """Run a step in which torch raises wherever the CPU waits for the device.

    Raises:
        Skipped: the device is no CUDA card.
        CheckFailedError: the step waits.
    """
    if device.type != "cuda":
        raise Skipped("only CUDA can raise at waits")
    trainer = make_trainer(scenes, device)
    pairs = _first_batches(trainer, 2)
    trainer.train_step(*pairs[0], 0, 0)  # fills the caches
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_step(*pairs[1], 0, 1)
    except RuntimeError as error:
        raise CheckFailedError(f"a step waits for the card ({error}); please report it") from error
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {}


def check_determinism(scenes: Path, device: torch.device) -> dict[str, Any]:
    """Train 20 steps twice and compare the bytes of the weights.

    Raises:
        CheckFailedError: they differ.
    """
    digests = []
    for _ in range(2):
        trainer = make_trainer(scenes, device)
        for number, pair in enumerate(_first_batches(trainer, _STEPS)):
            trainer.train_step(*pair, 0, number)
        digests.append(_digest(trainer.network))
    if digests[0] != digests[1]:
        raise CheckFailedError(f"two runs of {_STEPS} steps on {device} end with different weights; please report it")
    return {"steps": _STEPS, "sha256": digests[0][:16]}


def check_resume(scenes: Path, device: torch.device, folder: Path) -> dict[str, Any]:
    """Train an epoch on the device and the next on the CPU, and the other way round, and compare with the CPU alone.

    Raises:
        CheckFailedError: the loss of the second epoch differs by more than rounding.
    """
    orders = {"cpu": (CPU, CPU), "to the CPU": (device, CPU), "from the CPU": (CPU, device)}
    with without_tf32():
        losses = {name: _train_epochs(scenes, folder / name, order) for name, order in orders.items()}
    expected = losses.pop("cpu")
    for name, loss in losses.items():
        if not abs(loss - expected) <= MAX_RESUMED_DIFFERENCE * abs(expected):
            raise CheckFailedError(
                f"resumed {name}: the loss is {loss:.5g}, on the CPU alone {expected:.5g}; please report it"
            )
    return {"difference": max(abs(loss - expected) / abs(expected) for loss in losses.values())}


def _train_epochs(scenes: Path, checkpoints: Path, devices: tuple[torch.device, torch.device]) -> float:
    """Train an epoch on each device, the second from the checkpoint of the first; return the last loss."""

    def stop(epoch: int, metrics: Metrics) -> None:
        raise KeyboardInterrupt

    validate = Callbacks(lambda network: {"selection_metric": 0.0}).validate
    with suppress(KeyboardInterrupt):
        make_trainer(scenes, devices[0]).run(checkpoints, "key", Callbacks(validate, on_epoch_end=stop))
    state = make_trainer(scenes, devices[1]).run(checkpoints, "key", Callbacks(validate))
    return state.history[-1]["loss.total"]


def _compute_step(trainer: Trainer) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Return the losses of the first batch and the gradients of its total, on the CPU."""
    (pair,) = _first_batches(trainer, 1)
    trainer.network.train()
    losses = trainer.compute_losses(*pair, 0, 0)
    losses["total"].backward()
    gradients = {name: each.grad.cpu() for name, each in trainer.modules.named_parameters() if each.grad is not None}
    return {name: float(value.detach()) for name, value in losses.items()}, gradients


def _first_batches(trainer: Trainer, count: int) -> list[BatchPair]:
    with closing(trainer.batches(itertools.count())) as batches:
        return [next(batches) for _ in range(count)]


def _digest(network: JointNetwork) -> str:
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
