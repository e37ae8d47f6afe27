"""The training loop: optimizer, mixed precision, validation and checkpoints.

stages/train.py -> Trainer.run (here) -> TaskLosses (training/task_losses.py) -> losses/
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from math import ceil, isfinite
from pathlib import Path
from typing import TypeVar

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
from onelook.model.feature_supervision import FeatureSupervision
from onelook.model.joint_network import JointNetwork
from onelook.model.retinaface import RetinaFace
from onelook.settings import Settings
from onelook.training.callbacks import Callbacks, Metrics
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.data_checks import check_training_data, require_morphable_model
from onelook.training.learning_rates import build_optimizer, parameter_groups, set_learning_rates
from onelook.training.sharding import clip_gradients, gather_state, load_state, maybe_no_sync, wrap_ddp
from onelook.training.sync_batch_norm import convert_sync_batch_norm
from onelook.training.task_losses import TaskLosses

_CPU = torch.device("cpu")
Batch = TypeVar("Batch")
BatchPair = tuple[SceneBatch | None, FaceBatch | None]
"""Scenes and face crops of a batch; None for what is not trained on."""


@dataclass
class TrainState:
    """The state of training besides weights and optimizer.

    Attributes:
        history: epoch, losses and metrics of each finished epoch.
        best: the row of the best epoch.
        best_state: the network's state dict of that epoch.
        steps: finished steps of the unfinished epoch.
        loss_sums: what their losses contribute to the means of the epoch, by name.
    """

    history: list[Metrics] = field(default_factory=list)
    best: Metrics = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    loss_sums: Metrics = field(default_factory=dict)


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
        if world_size() > 1 and settings.train.sync_batch_norm:
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
        modules = {"network": network, "identity_loss": identity_loss, "task_weights": self.task_weights}
        feature_supervision = None
        if self.settings.weights.feature_supervision > 0 and isinstance(network.detector, RetinaFace):
            feature_supervision = FeatureSupervision(network.settings.fpn_channels, network.detector.levels)
            modules["feature_supervision"] = feature_supervision
        self.modules = nn.ModuleDict(modules).to(device)
        precision = self.settings.precision
        dtype = torch.float16 if precision == "float16" else torch.bfloat16
        autocast = torch.autocast(device.type, dtype, enabled=precision != "float32")
        # The gradients of float16 underflow without a scale; GradScaler skips a step whose gradients overflow.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.losses = TaskLosses(
            network,
            identity_loss,
            self.task_weights,
            settings,
            autocast=autocast,
            embed_scenes=faces is None,
            feature_supervision=feature_supervision,
        )
        network.detector.requires_grad_(not self.losses.detector_frozen)
        groups = parameter_groups(self.modules, network.settings.pretrained_part, self.settings)
        self.optimizer = build_optimizer(groups, self.settings)
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
        with closing(self.batches(epochs, state.steps)) as batches:
            for epoch in epochs:
                metrics = self.train_epoch(
                    epoch, batches, callbacks.on_step_end, state, lambda: self._save(checkpoints, key, state)
                )
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

    def train_epoch(
        self,
        epoch: int,
        batches: Iterator[BatchPair],
        on_step_end: Callable[[int, int], None],
        state: TrainState | None = None,
        save: Callable[[], None] = lambda: None,
    ) -> Metrics:
        """Train an epoch, counted from 0, or what is left of it.

        Args:
            epoch: counted from 0.
            batches: those of the epoch that are not trained on yet, on the CPU.
            on_step_end: called with the epoch, counted from 1, and the number of finished steps in it.
            state: steps and losses of the unfinished epoch, which are updated and cleared in the end; None for none.
            save: called after every `train.checkpoint_steps` steps, except the last.

        Returns:
            The mean losses as `loss.NAME`, and the task weights as `weight.NAME`.
        """
        state = state or TrainState()
        self.network.train()
        steps, accumulation = self.steps_per_epoch(), self.settings.accumulation_steps
        first = state.steps * accumulation
        for number, (scenes, faces) in enumerate(islice(batches, steps * accumulation - first), first):
            step, micro_step = divmod(number, accumulation)
            if micro_step == 0:
                self.set_learning_rates(epoch * steps + step, steps)
            losses = self.train_step(scenes, faces, epoch, number)
            # The losses are read after all else is enqueued: this is the only time a step waits for the device.
            values = all_reduce_mean(losses)
            if not isfinite(values["total"]):
                raise OnelookError(_not_finite_message(epoch, step, values))
            for name, value in values.items():
                state.loss_sums[name] = state.loss_sums.get(name, 0.0) + value / (steps * accumulation)
            if micro_step == accumulation - 1:
                state.steps = step + 1
                on_step_end(epoch + 1, step + 1)
                if self._is_checkpoint_due(step + 1):
                    save()
        metrics = {f"loss.{name}": value for name, value in state.loss_sums.items()}
        state.steps, state.loss_sums = 0, {}
        return metrics | {f"weight.{name}": value for name, value in self.task_weights.weights().items()}

    def _is_checkpoint_due(self, steps: int) -> bool:
        """Return whether a checkpoint follows a number of finished steps within an epoch."""
        interval = self.settings.checkpoint_steps
        return interval > 0 and steps % interval == 0 and steps < self.steps_per_epoch()

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
        set_learning_rates(self.optimizer, self.settings, step, steps_per_epoch)

    def steps_per_epoch(self) -> int:
        """Return the number of steps in an epoch: one pass over the face crops, or over the scenes without them."""
        batches = self.scenes.num_batches(self.settings.batch_size) if self.faces is None else self.faces.num_batches()
        return max(1, batches // self.settings.accumulation_steps)

    def batches(self, epochs: Iterable[int], finished_steps: int = 0) -> Generator[BatchPair]:
        """Yield the batches of epochs on the CPU, prefetched in a thread also during validation.

        Args:
            epochs: counted from 0.
            finished_steps: of the first epoch; their batches are left out.
        """
        skipped = chain([finished_steps * self.settings.accumulation_steps], repeat(0))
        batches = chain.from_iterable(map(self._epoch_batches, epochs, skipped))
        return prefetch(map(pin_memory, batches) if self.device.type == "cuda" else batches)

    def _epoch_batches(self, epoch: int, skipped: int) -> Iterator[BatchPair]:
        """Yield the batches of an epoch but for the first `skipped`, which are not loaded."""
        count = self.steps_per_epoch() * self.settings.accumulation_steps
        shard = rank(), world_size()
        scenes: Iterator[SceneBatch | None] = repeat(None)
        faces: Iterator[FaceBatch | None] = repeat(None)
        if self.settings.batch_size > 0:
            size = self.settings.batch_size
            pass_length = self.scenes.num_batches(size)
            scenes = _repeat_passes(
                lambda number, first: self.scenes.batches(number, size, shard, first),
                pass_length,
                epoch,
                count,
                skipped,
            )
        if self.faces is not None:
            crops = self.faces
            faces = _repeat_passes(
                lambda number, first: crops.batches(number, shard, first), crops.num_batches(), epoch, count, skipped
            )
        return islice(zip(scenes, faces, strict=False), count - skipped)

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
        return TrainState(**{name: saved[name] for name in vars(TrainState()) if name in saved})


def _repeat_passes(
    load: Callable[[int, int], Iterator[Batch]], pass_length: int, epoch: int, count: int, skipped: int
) -> Iterator[Batch]:
    """Yield the batches of the passes over a data set that make an epoch, but for the first `skipped`.

    Args:
        load: yields the batches of a pass, by its number from the start of training, from one of them on.
        pass_length: number of batches in a pass.
        epoch: counted from 0.
        count: number of batches that the epoch needs at least.
        skipped: number of batches that are not loaded.
    """
    passes = ceil(count / pass_length)
    finished, first = divmod(skipped, pass_length)
    for number in range(finished, passes):
        yield from load(epoch * passes + number, first if number == finished else 0)


def _not_finite_message(epoch: int, step: int, losses: Metrics) -> str:
    values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items() if name != "total")
    return (
        f"training: the loss is not finite in epoch {epoch + 1}, step {step + 1} ({values}); "
        "lower train.learning_rate or train.weights; the last checkpoint is kept"
    )
