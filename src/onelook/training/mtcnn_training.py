"""Training of MTCNN: P-Net, then R-Net on the errors of P-Net, then O-Net on those of both.

Each network is trained on as many batches of scenes as the joint network, in the same order, with
`mtcnn.updates_per_batch` gradient steps on a batch. Windows are drawn anew for every gradient step and mined for every
batch (`training/window_sampling.py`), so none are stored.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from onelook.data.loader import prefetch
from onelook.data.scene_dataset import SceneBatch, SceneDataset
from onelook.device import to_device
from onelook.geometry.windows import integral_images, sample_windows
from onelook.losses.mtcnn import TASK_FACTORS, window_losses
from onelook.model.mtcnn import WINDOW_SIZES, Mtcnn
from onelook.settings import Settings
from onelook.training.callbacks import Metrics
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.learning_rates import build_optimizer, parameter_groups, set_learning_rates
from onelook.training.sequential import SequentialState, SequentialTraining
from onelook.training.window_sampling import WindowBatch, draw_windows, make_windows, select_windows

NETWORK_NAMES = ("pnet", "rnet", "onet")

Propose = Callable[[Sequence[nn.Module], Tensor], Tensor]
"""Maps the trained networks and images (B, 3, H, W) uint8 to the squares (B, k, 4) that the next network gets."""


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
            settings: the sections `train`, `base` and `mtcnn`.
            steps_per_epoch: of the joint network; here each is `mtcnn.updates_per_batch` gradient steps.
            propose: runs the cascade of the trained networks.
            device: of the training.
        """
        self.mtcnn = mtcnn.to(device)
        self.scenes = scenes
        self.settings = settings.train.model_copy(update={"learning_rate": settings.mtcnn.learning_rate})
        self.updates = settings.mtcnn.updates_per_batch
        self.seed = settings.base.seed
        self.steps_per_epoch = steps_per_epoch
        self.propose = propose
        self.device = device
        modules = [nn.ModuleDict({"network": network}) for network in mtcnn.networks]
        groups = [parameter_groups(module, "none", self.settings) for module in modules]
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
        training = SequentialTraining(
            NETWORK_NAMES,
            self.settings,
            self.steps_per_epoch,
            "mtcnn.learning_rate",
            self._train_epoch,
            lambda state: self._save(checkpoints, key, state),
            on_epoch_end,
        )
        return training.run(state)

    def train_step(self, batch: SceneBatch, epoch: int, step: int) -> dict[str, Tensor]:
        """Train the network of an epoch on a batch, by all its gradient steps.

        Args:
            batch: scenes, on the CPU.
            epoch: counted from 0 over all networks.
            step: its number within the epoch, from 0.

        Returns:
            Scalar losses on the device, by name, means over the gradient steps. They are not read.
        """
        number, own_epoch = divmod(epoch, self.settings.epochs)
        network, optimizer = self.mtcnn.networks[number], self.optimizers[number]
        rng = np.random.default_rng([self.seed, epoch, step])
        batch = to_device(batch, self.device)
        integrals = integral_images(batch.images)
        mined = self.mine_windows(batch, number)
        first = (own_epoch * self.steps_per_epoch + step) * self.updates
        updates = []
        for update in range(first, first + self.updates):
            sample = self.sample_windows(batch, mined, rng)
            crops = sample_windows(integrals, sample.images, sample.windows, WINDOW_SIZES[number])
            set_learning_rates(optimizer, self.settings, update, self.steps_per_epoch * self.updates)
            optimizer.zero_grad(set_to_none=True)
            losses = window_losses(network(crops), sample.targets, TASK_FACTORS[number])
            losses["total"].backward()
            nn.utils.clip_grad_norm_(network.parameters(), self.settings.max_grad_norm)
            optimizer.step()
            updates.append({name: loss.detach() for name, loss in losses.items()})
        return {name: torch.stack([losses[name] for losses in updates]).mean() for name in updates[0]}

    def mine_windows(self, batch: SceneBatch, number: int) -> Tensor:
        """Return the windows (B, k, 4) that the cascade before a network accepts; none for the first network.

        Args:
            batch: scenes, on the device.
            number: of the network, from 0.
        """
        if number == 0:
            return batch.boxes[:, :0]
        return self.propose(list(self.mtcnn.networks)[:number], batch.images).floor()

    def sample_windows(self, batch: SceneBatch, mined: Tensor, rng: np.random.Generator) -> WindowBatch:
        """Draw the windows of a gradient step, mined ones first.

        Args:
            batch: scenes, on the device.
            mined: (B, k, 4), from `mine_windows`.
            rng: of the step.
        """
        windows = make_windows(batch, to_device(draw_windows(batch, rng), self.device))
        count = windows.shape[1] + mined.shape[1]
        priorities = to_device(torch.from_numpy(rng.random((2, len(windows), count), np.float32)), self.device)
        priorities[..., windows.shape[1] :] += 1
        return select_windows(batch, torch.cat([windows, mined], 1), priorities)

    def _train_epoch(self, epoch: int, finished_steps: int) -> Generator[dict[str, Tensor]]:
        with closing(prefetch(self._batches(epoch, finished_steps))) as batches:
            for step, batch in enumerate(batches, finished_steps):
                yield self.train_step(batch, epoch, step)

    def _batches(self, epoch: int, finished_steps: int) -> Iterator[SceneBatch]:
        """Yield the batches of an epoch but for those of its finished steps: the joint network's of its own epochs."""
        size = self.settings.batch_size
        first = epoch % self.settings.epochs * self.steps_per_epoch + finished_steps
        number, skipped = divmod(first, self.scenes.num_batches(size))
        passes = (self.scenes.batches(each, size, first=skipped if each == number else 0) for each in count(number))
        return islice(chain.from_iterable(passes), self.steps_per_epoch - finished_steps)

    def _save(self, folder: Path, key: str, state: SequentialState) -> None:
        states = {"mtcnn": self.mtcnn.state_dict(), "optimizers": [each.state_dict() for each in self.optimizers]}
        save_checkpoint(folder, key, to_device(states, torch.device("cpu")) | vars(state))

    def _resume(self, folder: Path, key: str) -> SequentialState:
        saved = load_checkpoint(folder, key)
        if saved is None:
            return SequentialState()
        self.mtcnn.load_state_dict(saved.pop("mtcnn"))
        for optimizer, state in zip(self.optimizers, saved.pop("optimizers"), strict=True):
            optimizer.load_state_dict(state)
        return SequentialState(**saved)
