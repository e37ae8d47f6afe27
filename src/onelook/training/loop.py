"""The training loop: optimizer, learning-rate schedule, mixed precision, validation and checkpoints.

stages/train.py -> Trainer.run (here) -> TaskLosses (training/task_losses.py) -> losses/
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from math import ceil, cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onelook.data.face_dataset import FaceBatch, FaceDataset
from onelook.data.loader import prefetch
from onelook.data.scene_dataset import SceneBatch, SceneDataset
from onelook.device import check_precision, pin_memory, to_device
from onelook.distributed import all_reduce_mean, rank, world_size
from onelook.errors import ModelError, OnelookError
from onelook.losses.identity import build_identity_loss
from onelook.losses.task_weights import TaskWeights
from onelook.model.deformable import OFFSET_LR_MULT
from onelook.model.joint_network import JointNetwork
from onelook.settings import Settings, StepSchedule, TrainSettings
from onelook.training.callbacks import Callbacks, Metrics
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.data_checks import check_training_data, require_morphable_model
from onelook.training.sharding import clip_gradients, gather_state, load_state, maybe_no_sync, wrap_ddp
from onelook.training.sync_batch_norm import convert_sync_batch_norm
from onelook.training.task_losses import TaskLosses

# One-cycle schedule: fraction of the steps that warm up, and factors of the learning rate at both ends.
_WARMUP_FRACTION = 0.15
_INITIAL_FACTOR = 0.04
_FINAL_FACTOR = 0.001

_CPU = torch.device("cpu")
BatchPair = tuple[SceneBatch | None, FaceBatch | None]
"""Scenes and face crops of a batch; None for what is not trained on."""


@dataclass
class TrainState:
    """The state of training besides weights and optimizer.

    Attributes:
        history: epoch, losses and metrics of each finished epoch.
        best: the row of the best epoch.
        best_state: the network's state dict of that epoch.
    """

    history: list[Metrics] = field(default_factory=list)
    best: Metrics = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)


class Trainer:
    """Joint training of a network on scenes, on face crops, or on both in every step.

    - All random numbers depend on the seed, epoch and step alone, so an interrupted run continues to the same bits.
    - In distributed training each process has a shard of every batch. The result is that of one process, except for
      rounding.
    - A checkpoint has the state of all processes, and can be resumed by any number of processes on any device.
    """

    def __init__(
        self,
        network: JointNetwork,
        scenes: SceneDataset,
        settings: Settings,
        faces: FaceDataset | None = None,
        device: torch.device = _CPU,
    ) -> None:
        """Build the losses and the optimizer, and move the network to the device.

        Args:
            network: the network to train.
            scenes: the training scenes.
            settings: the sections `train` and `base`.
            faces: face crops, needed where `train.faces.batch_size` is not 0.
            device: of the training in this process.

        Raises:
            DataError: a trained task has no data, or the teacher's embeddings do not fit.
            OnelookError: the device does not compute in `train.precision`.
        """
        check_precision(settings.train.precision, device)
        check_training_data(network, scenes, faces, settings.train)
        if world_size() > 1:
            convert_sync_batch_norm(network)
        if network.dense is not None:
            arrays = require_morphable_model(scenes, settings.train)
            network.dense.decoder.set_morphable_model(*map(torch.from_numpy, arrays))
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device
        self.scenes = scenes
        self.faces = faces
        self.settings = settings.train
        identity_loss: nn.Module = nn.Identity()  # unused where detection alone is trained
        if self.settings.tasks != "detection":
            dim = network.settings.embedding.dim
            identity_loss = build_identity_loss(self.settings.identity, dim, len(scenes.identities))
        self.task_weights = TaskWeights(self.settings.weights, self.settings.task_weighting)
        self.modules = nn.ModuleDict(
            {"network": network, "identity_loss": identity_loss, "task_weights": self.task_weights}
        ).to(device)
        precision = self.settings.precision
        dtype = torch.float16 if precision == "float16" else torch.bfloat16
        autocast = torch.autocast(device.type, dtype, enabled=precision != "float32")
        # The gradients of float16 underflow without a scale; GradScaler skips a step whose gradients overflow.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.losses = TaskLosses(
            network, identity_loss, self.task_weights, settings, autocast=autocast, embed_scenes=faces is None
        )
        network.detector.requires_grad_(not self.losses.detector_frozen)
        groups = parameter_groups(self.modules, network.settings.init, self.settings)
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(groups, lr=0.0)
            if self.settings.optimizer == "adamw"
            else torch.optim.SGD(groups, lr=0.0, momentum=self.settings.momentum)
        )
        self.compute_losses = wrap_ddp(self.losses, self.modules)

    def run(self, checkpoints: Path, key: str, callbacks: Callbacks) -> TrainState:
        """Train to the last epoch, and load the weights of the best epoch.

        Args:
            checkpoints: folder of the checkpoint. Rank 0 writes it.
            key: training resumes from a checkpoint with this key, if there is one.
            callbacks: those of rank 0 count; the metrics of the other processes have no effect.

        Raises:
            OnelookError: a loss is not finite; the last checkpoint stays.
            ModelError: the checkpoint is damaged, or not all processes have the same.
        """
        state = self._resume(checkpoints, key)
        epochs = range(len(state.history), self.settings.epochs)
        with closing(self.batches(epochs)) as batches:
            for epoch in epochs:
                metrics = self.train_epoch(epoch, batches, callbacks.on_step_end)
                metrics |= callbacks.validate(self.network)
                row = {"epoch": epoch + 1, **metrics}
                state.history.append(row)
                # Ties go to the later epoch, which is trained longer.
                if not state.best or metrics["selection_metric"] >= state.best["selection_metric"]:
                    state.best = row
                    state.best_state = {
                        name: value.to("cpu", copy=True) for name, value in self.network.state_dict().items()
                    }
                self._save(checkpoints, key, state)
                callbacks.on_epoch_end(epoch + 1, metrics)
        self.network.load_state_dict(state.best_state)
        return state

    def train_epoch(self, epoch: int, batches: Iterator[BatchPair], on_step_end: Callable[[int, int], None]) -> Metrics:
        """Train an epoch, counted from 0.

        Returns:
            The mean losses as `loss.NAME`, and the task weights as `weight.NAME`.
        """
        self.network.train()
        steps, accumulation = self.steps_per_epoch(), self.settings.accumulation_steps
        metrics: Metrics = {}
        for number, (scenes, faces) in enumerate(islice(batches, steps * accumulation)):
            step, micro_step = divmod(number, accumulation)
            if micro_step == 0:
                self.set_learning_rates(epoch * steps + step, steps)
            losses = self.train_step(scenes, faces, epoch, number)
            # The losses are read after all else is enqueued: this is the only time a step waits for the device.
            values = all_reduce_mean(losses)
            if not isfinite(values["total"]):
                raise OnelookError(_not_finite_message(epoch, step, values))
            for name, value in values.items():
                metrics[f"loss.{name}"] = metrics.get(f"loss.{name}", 0.0) + value / (steps * accumulation)
            if micro_step == accumulation - 1:
                on_step_end(epoch + 1, step + 1)
        return metrics | {f"weight.{name}": value for name, value in self.task_weights.weights().items()}

    def train_step(
        self, scenes: SceneBatch | None, faces: FaceBatch | None, epoch: int, number: int
    ) -> dict[str, Tensor]:
        """Compute the gradients of a batch, and update the weights after the last batch of a step.

        Args:
            scenes, faces: on the CPU, as `batches` yields them.
            epoch: counted from 0.
            number: of the batch in its epoch, from 0; a step has `train.accumulation_steps` batches.

        Returns:
            Scalar losses on the device, by name. They are not read, so the CPU does not wait for the device.
        """
        accumulation = self.settings.accumulation_steps
        micro_step = number % accumulation
        if micro_step == 0:
            self.optimizer.zero_grad(set_to_none=True)
        last_micro_step = micro_step == accumulation - 1
        with maybe_no_sync(self.compute_losses, sync=last_micro_step):
            losses = self.compute_losses(scenes, faces, epoch, number)
            if losses["total"].requires_grad:  # not so with a frozen detector and no face to embed
                self.scaler.scale(losses["total"] / accumulation).backward()
        if last_micro_step:
            self._update_weights()
        return losses

    def _update_weights(self) -> None:
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        clip_gradients(self.modules, self.settings.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def set_learning_rates(self, step: int, steps_per_epoch: int) -> None:
        """Set the learning rates of a step, counted from the start of training."""
        if self.settings.schedule == "one_cycle":
            factor = one_cycle_factor(step, steps_per_epoch * self.settings.epochs)
        else:
            factor = step_decay_factor(step / steps_per_epoch, self.settings.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * group["lr_mult"] * factor

    def steps_per_epoch(self) -> int:
        """Return the number of steps in an epoch: one pass over the face crops, or over the scenes without them."""
        batches = self.scenes.num_batches(self.settings.batch_size) if self.faces is None else self.faces.num_batches()
        return max(1, batches // self.settings.accumulation_steps)

    def batches(self, epochs: Iterable[int]) -> Generator[BatchPair]:
        """Yield the batches of epochs on the CPU, counted from 0, prefetched in a thread also during validation."""
        batches = chain.from_iterable(map(self._epoch_batches, epochs))
        return prefetch(map(pin_memory, batches) if self.device.type == "cuda" else batches)

    def _epoch_batches(self, epoch: int) -> Iterator[BatchPair]:
        count = self.steps_per_epoch() * self.settings.accumulation_steps
        scenes = repeat(None) if self.settings.batch_size == 0 else self._scene_batches(epoch, count)
        faces = repeat(None) if self.faces is None else self._face_batches(epoch, count)
        return islice(zip(scenes, faces, strict=False), count)

    def _scene_batches(self, epoch: int, count: int) -> Iterator[SceneBatch]:
        passes = ceil(count / self.scenes.num_batches(self.settings.batch_size))
        for number in range(epoch * passes, (epoch + 1) * passes):
            yield from self.scenes.batches(number, self.settings.batch_size, (rank(), world_size()))

    def _face_batches(self, epoch: int, count: int) -> Iterator[FaceBatch]:
        assert self.faces is not None
        passes = ceil(count / self.faces.num_batches())
        for number in range(epoch * passes, (epoch + 1) * passes):
            yield from self.faces.batches(number, (rank(), world_size()))

    def _save(self, folder: Path, key: str, state: TrainState) -> None:
        modules, optimizer = gather_state(self.modules, self.optimizer)
        if rank() == 0:
            states = {"modules": modules, "optimizer": optimizer, "scaler": self.scaler.state_dict()}
            save_checkpoint(folder, key, to_device(states, _CPU) | vars(state))

    def _resume(self, folder: Path, key: str) -> TrainState:
        saved = load_checkpoint(folder, key)
        epochs = torch.tensor(0.0 if saved is None else len(saved["history"]))
        if all_reduce_mean({"epochs": epochs})["epochs"] != float(epochs):
            raise ModelError(f"{folder}: the processes have different checkpoints; use a folder that all of them share")
        if saved is None:
            return TrainState()
        load_state(self.modules, self.optimizer, saved["modules"], saved["optimizer"])
        self.scaler.load_state_dict(saved.get("scaler", {}))
        return TrainState(saved["history"], saved["best"], saved["best_state"])


def parameter_groups(modules: nn.ModuleDict, init: str, settings: TrainSettings) -> list[dict[str, Any]]:
    """Group the parameters by learning-rate factor (`lr_mult`) and weight decay.

    - The pretrained part (the detector, or the backbone from ImageNet) has the factor `backbone_lr_mult`.
    - Offsets of deformable convolutions have a factor of their own.
    - Norms and biases have no weight decay.
    """
    pretrained = {"random": None, "imagenet": "network.detector.backbone."}.get(init, "network.detector.")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in modules.named_parameters():
        if parameter.requires_grad:
            lr_mult = settings.backbone_lr_mult if pretrained is not None and name.startswith(pretrained) else 1.0
            lr_mult *= OFFSET_LR_MULT if ".offsets." in name else 1.0
            weight_decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((lr_mult, weight_decay), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay, "lr_mult": lr_mult}
        for (lr_mult, weight_decay), parameters in groups.items()
    ]


def one_cycle_factor(step: int, steps: int) -> float:
    """Compute the learning-rate factor of the one-cycle schedule (Smith and Topin 2018), with cosine annealing."""
    warmup = max(1, round(_WARMUP_FRACTION * steps))
    if step < warmup:
        return _cosine(_INITIAL_FACTOR, 1, step / warmup)
    return _cosine(1, _FINAL_FACTOR, (step - warmup) / max(1, steps - warmup))


def step_decay_factor(epoch: float, settings: StepSchedule) -> float:
    """Compute the learning-rate factor at a fractional epoch: linear warmup, then 0.1 at each milestone."""
    if epoch < settings.warmup_epochs:
        return settings.warmup_start_factor + (1 - settings.warmup_start_factor) * epoch / settings.warmup_epochs
    return 0.1 ** sum(epoch >= milestone for milestone in settings.milestones)


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + cos(pi * fraction)) / 2


def _not_finite_message(epoch: int, step: int, losses: Metrics) -> str:
    values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items() if name != "total")
    return (
        f"training: the loss is not finite in epoch {epoch + 1}, step {step + 1} ({values}); "
        "lower train.learning_rate or train.weights; the last checkpoint is kept"
    )
