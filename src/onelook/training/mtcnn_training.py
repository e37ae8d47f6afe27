"""Training of MTCNN: P-Net, then R-Net on the errors of P-Net, then O-Net on those of both.

Each network is trained for as many steps as the joint network, on the same scenes in the same order. Its windows are
drawn and mined anew in every step (`training/window_sampling.py`), so no windows are stored.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, count, islice
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from onelook.data.loader import prefetch
from onelook.data.scene_dataset import SceneBatch, SceneDataset
from onelook.device import to_device
from onelook.errors import OnelookError
from onelook.geometry.windows import integral_images, sample_windows
from onelook.losses.mtcnn import TASK_FACTORS, window_losses
from onelook.model.mtcnn import WINDOW_SIZES, Mtcnn
from onelook.settings import Settings
from onelook.training.callbacks import Metrics
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.learning_rates import build_optimizer, parameter_groups, set_learning_rates
from onelook.training.window_sampling import WindowBatch, draw_windows, make_windows, select_windows

NETWORK_NAMES = ("pnet", "rnet", "onet")

Propose = Callable[[Sequence[nn.Module], Tensor], Tensor]
"""Maps the trained networks and images (B, 3, H, W) uint8 to the squares (B, k, 4) that the next network gets."""


@dataclass
class MtcnnState:
    """The state of training besides weights and optimizers.

    Attributes:
        history: number and losses of each finished epoch, counted over all networks.
        steps: finished steps of the unfinished epoch.
        loss_sums: what their losses contribute to the means of the epoch, by name.
    """

    history: list[Metrics] = field(default_factory=list)
    steps: int = 0
    loss_sums: Metrics = field(default_factory=dict)


class MtcnnTrainer:
    """Training of the three networks on scenes, one after the other, in one process.

    All random numbers depend on the seed, epoch and step alone, so an interrupted run continues to the same bits.
    """

    def __init__(
        self,
        mtcnn: Mtcnn,
        scenes: SceneDataset,
        settings: Settings,
        steps_per_epoch: int,
        propose: Propose,
        device: torch.device,
    ) -> None:
        """Move the networks to the device, and build their optimizers.

        Args:
            mtcnn: the networks to train.
            scenes: the training scenes.
            settings: the sections `train` and `base`.
            steps_per_epoch: of the joint network.
            propose: runs the cascade of the trained networks.
            device: of the training.
        """
        self.mtcnn = mtcnn.to(device)
        self.scenes = scenes
        self.settings = settings.train
        self.seed = settings.base.seed
        self.steps_per_epoch = steps_per_epoch
        self.propose = propose
        self.device = device
        modules = [nn.ModuleDict({"network": network}) for network in mtcnn.networks]
        groups = [parameter_groups(module, "random", self.settings) for module in modules]
        self.optimizers = [build_optimizer(group, self.settings) for group in groups]

    def run(self, checkpoints: Path, key: str, on_epoch_end: Callable[[int, Metrics], None]) -> list[Metrics]:
        """Train every network for all epochs; return number and losses of each epoch, as `NETWORK.loss.NAME`.

        Args:
            checkpoints: folder of the checkpoint.
            key: training resumes from a checkpoint with this key, if there is one.
            on_epoch_end: called with the epoch, counted from 1 over all networks, and its losses.

        Raises:
            OnelookError: a loss is not finite; the last checkpoint stays.
            ModelError: the checkpoint is damaged.
        """
        state = self._resume(checkpoints, key)
        for epoch in range(len(state.history), len(NETWORK_NAMES) * self.settings.epochs):
            with closing(prefetch(self._batches(epoch, state.steps))) as batches:
                for batch in batches:
                    self._run_step(batch, epoch, state)
                    interval = self.settings.checkpoint_steps
                    if interval and state.steps % interval == 0 and state.steps < self.steps_per_epoch:
                        self._save(checkpoints, key, state)
            losses = state.loss_sums
            state.history.append({"epoch": epoch + 1, **losses})
            state.steps, state.loss_sums = 0, {}
            self._save(checkpoints, key, state)
            on_epoch_end(epoch + 1, losses)
        return state.history

    def train_step(self, batch: SceneBatch, epoch: int, step: int) -> dict[str, Tensor]:
        """Train the network of an epoch on the windows of a batch.

        Args:
            batch: scenes, on the CPU.
            epoch: counted from 0 over all networks.
            step: its number within the epoch, from 0.

        Returns:
            Scalar losses on the device, by name. They are not read.
        """
        number, own_epoch = divmod(epoch, self.settings.epochs)
        network, optimizer = self.mtcnn.networks[number], self.optimizers[number]
        sample = self.sample_windows(batch, number, np.random.default_rng([self.seed, epoch, step]))
        integrals = integral_images(to_device(batch.images, self.device))
        crops = sample_windows(integrals, sample.images, sample.windows, WINDOW_SIZES[number])
        set_learning_rates(optimizer, self.settings, own_epoch * self.steps_per_epoch + step, self.steps_per_epoch)
        optimizer.zero_grad(set_to_none=True)
        losses = window_losses(network(crops), sample.targets, TASK_FACTORS[number])
        losses["total"].backward()
        nn.utils.clip_grad_norm_(network.parameters(), self.settings.max_grad_norm)
        optimizer.step()
        return losses

    def sample_windows(self, batch: SceneBatch, number: int, rng: np.random.Generator) -> WindowBatch:
        """Draw the windows of a network, those that the cascade before it accepts first.

        Args:
            batch: scenes, on the CPU.
            number: of the network, from 0.
            rng: of the step.
        """
        draws = to_device(draw_windows(batch, rng), self.device)
        batch = to_device(batch, self.device)
        windows = make_windows(batch, draws)
        mined = windows[:, :0]
        if number > 0:
            mined = self.propose(list(self.mtcnn.networks)[:number], batch.images).floor()
        count = windows.shape[1] + mined.shape[1]
        priorities = to_device(torch.from_numpy(rng.random((2, len(windows), count), np.float32)), self.device)
        priorities[..., windows.shape[1] :] += 1
        return select_windows(batch, torch.cat([windows, mined], 1), priorities)

    def _run_step(self, batch: SceneBatch, epoch: int, state: MtcnnState) -> None:
        losses = self.train_step(batch, epoch, state.steps)
        values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
        name = NETWORK_NAMES[epoch // self.settings.epochs]
        if not isfinite(values["total"]):
            raise OnelookError(
                f"baseline mtcnn: the loss of {name} is not finite in epoch {epoch + 1}, step {state.steps + 1}; "
                "lower train.learning_rate; the last checkpoint is kept"
            )
        for loss, value in values.items():
            key = f"{name}.loss.{loss}"
            state.loss_sums[key] = state.loss_sums.get(key, 0.0) + value / self.steps_per_epoch
        state.steps += 1

    def _batches(self, epoch: int, finished_steps: int) -> Iterator[SceneBatch]:
        """Yield the batches of an epoch but for those of its finished steps: the joint network's of its own epochs."""
        size = self.settings.batch_size
        first = epoch % self.settings.epochs * self.steps_per_epoch + finished_steps
        number, skipped = divmod(first, self.scenes.num_batches(size))
        passes = (self.scenes.batches(each, size, first=skipped if each == number else 0) for each in count(number))
        return islice(chain.from_iterable(passes), self.steps_per_epoch - finished_steps)

    def _save(self, folder: Path, key: str, state: MtcnnState) -> None:
        states = {"mtcnn": self.mtcnn.state_dict(), "optimizers": [each.state_dict() for each in self.optimizers]}
        save_checkpoint(folder, key, to_device(states, torch.device("cpu")) | vars(state))

    def _resume(self, folder: Path, key: str) -> MtcnnState:
        saved = load_checkpoint(folder, key)
        if saved is None:
            return MtcnnState()
        self.mtcnn.load_state_dict(saved.pop("mtcnn"))
        for optimizer, state in zip(self.optimizers, saved.pop("optimizers"), strict=True):
            optimizer.load_state_dict(state)
        return MtcnnState(**saved)
