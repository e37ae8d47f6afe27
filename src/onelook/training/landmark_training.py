"""Training of landmark cascades, one level after the other, on views of labeled faces.

| level | is trained from |
|---|---|
| the first | the whole face |
| with `start_noise` | the labels, moved by noise |
| on the face image | the points of the levels before it, in the same step |
| on local features | the points of the levels before it; their views and features are computed before its first step |

Each level is trained for as many steps as the joint network. All random numbers depend on seed, level, epoch and step
alone, so an interrupted run continues to the same bits.
"""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from onelook.data.landmark_faces import LandmarkFaces, draw_views, sample_views
from onelook.data.sift_features import describe_points
from onelook.device import to_device
from onelook.losses.landmark_cascade import point_loss, start_points
from onelook.model.cfan import AutoencoderLevel
from onelook.model.landmark_cascade import LandmarkCascade, Level
from onelook.settings import Settings
from onelook.training.callbacks import Metrics
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.learning_rates import build_optimizer, parameter_groups, set_learning_rates
from onelook.training.sequential import SequentialState, SequentialTraining

FACES_PER_STEP = 16
"""Views of a step."""
VIEWS_PER_FACE = 4
"""Views of a face whose local features are computed before the training of a level."""
PRETRAINED_FRACTION = 0.3
"""Fraction of the steps of a stacked autoencoder network in which its layers are trained as autoencoders, in turn."""


class LevelBatch(NamedTuple):
    """Inputs of a step, of n faces.

    Attributes:
        inputs: face images (n, 1, side, side), or local features (n, d).
        points: (n, 5, 2) that the level refines.
        labels: (n, 5, 2); NaN for a point without a label.
    """

    inputs: Tensor
    points: Tensor
    labels: Tensor


class LandmarkTrainer:
    """Training of a cascade in one process."""

    def __init__(
        self,
        cascade: LandmarkCascade,
        faces: LandmarkFaces,
        settings: Settings,
        steps_per_epoch: int,
        device: torch.device,
    ) -> None:
        """Move the cascade to the device.

        Args:
            cascade: with random weights.
            faces: the training faces.
            settings: the sections `train` and `base`.
            steps_per_epoch: of the joint network.
            device: of the training.
        """
        self.cascade = cascade.to(device)
        self.faces = faces
        self.settings = settings.train
        self.seed = settings.base.seed
        self.steps_per_epoch = steps_per_epoch
        self.device = device
        self._described: tuple[int, LevelBatch] | None = None
        self._optimizer: tuple[int, torch.optim.Optimizer] | None = None

    def run(self, checkpoints: Path, key: str, on_epoch_end: Callable[[int, Metrics], None]) -> list[Metrics]:
        """Train every level for all epochs; return number and losses of each epoch, as `levelN.loss.NAME`.

        Args:
            checkpoints: folder of the checkpoint.
            key: training resumes from a checkpoint with this key, if there is one.
            on_epoch_end: called with the epoch, counted from 1 over all levels, and its losses.

        Raises:
            OnelookError: a loss is not finite; the last checkpoint stays.
            ModelError: the checkpoint is damaged.
        """
        state = self._resume(checkpoints, key)
        training = SequentialTraining(
            tuple(f"level{number}" for number in range(1, len(self.cascade.levels) + 1)),
            self.settings,
            self.steps_per_epoch,
            "train.learning_rate",
            self._train_epoch,
            lambda state: self._save(checkpoints, key, state),
            on_epoch_end,
        )
        history = training.run(state)
        self.cascade.eval()
        return history

    def make_batch(self, epoch: int, step: int) -> LevelBatch:
        """Draw the faces of a step; their images, points and labels are on the device.

        Args:
            epoch: counted from 0 over all levels.
            step: its number within the epoch, from 0.
        """
        number = epoch // self.settings.epochs
        level = self._level(number)
        rng = np.random.default_rng([self.seed, epoch, step])
        if level.feature_side is not None:
            described = self._describe_views(number)
            rows = torch.from_numpy(rng.integers(0, len(described.labels), FACES_PER_STEP))
            return to_device(LevelBatch(*(column[rows] for column in described)), self.device)
        views = draw_views(self.faces, rng.integers(0, len(self.faces.crops), FACES_PER_STEP), rng)
        noise = torch.from_numpy(rng.uniform(-1, 1, views.points.shape).astype(np.float32))
        views, noise = to_device((views, noise), self.device)
        images = sample_views(views)
        if level.start_noise is not None:
            start = self.cascade.start.expand_as(views.points)
            return LevelBatch(images, start_points(views.points, start, noise * level.start_noise), views.points)
        return LevelBatch(images, self._run_before(images, number), views.points)

    def train_step(self, batch: LevelBatch, epoch: int, step: int) -> dict[str, Tensor]:
        """Train the level of an epoch.

        Returns:
            Scalar losses on the device, by name. They are not read.
        """
        number, own_epoch = divmod(epoch, self.settings.epochs)
        level, optimizer = self._level(number), self._level_optimizer(number)
        done = own_epoch * self.steps_per_epoch + step
        set_learning_rates(optimizer, self.settings, done, self.steps_per_epoch)
        self.cascade.eval()
        level.train()
        optimizer.zero_grad(set_to_none=True)
        losses = self._losses(level, batch, done / (self.steps_per_epoch * self.settings.epochs))
        losses["total"].backward()
        nn.utils.clip_grad_norm_(level.parameters(), self.settings.max_grad_norm)
        optimizer.step()
        return losses

    def _losses(self, level: Level, batch: LevelBatch, progress: float) -> dict[str, Tensor]:
        """Compute the losses of a level after a fraction of its steps."""
        if isinstance(level, AutoencoderLevel) and progress < PRETRAINED_FRACTION:
            layer = int(progress / PRETRAINED_FRACTION * len(level.layers))
            inputs, reconstructed = level.reconstruction(batch.inputs, layer)
            loss = (reconstructed - inputs).square().mean()
            return {f"layer{layer + 1}": loss, "total": loss}
        loss = point_loss(level.estimates(batch.inputs, batch.points), level.is_estimated, batch.labels)
        return {"points": loss, "total": loss}

    @torch.no_grad()
    def _run_before(self, images: Tensor, number: int) -> Tensor:
        """Compute the points (n, 5, 2) that the levels before one predict."""
        self.cascade.eval()
        points = self.cascade.start.expand(len(images), -1, -1)
        return [points, *self.cascade.run(images, describe_points, number)][-1]

    def _describe_views(self, number: int) -> LevelBatch:
        """Return the local features of views of all faces at the points before a level, on the CPU."""
        if self._described is not None and self._described[0] == number:
            return self._described[1]
        side = self._level(number).feature_side
        assert side is not None
        rng = np.random.default_rng([self.seed, number])
        parts = []
        for _ in range(VIEWS_PER_FACE):
            for rows in np.array_split(np.arange(len(self.faces.crops)), -(-len(self.faces.crops) // FACES_PER_STEP)):
                views = to_device(draw_views(self.faces, rows, rng), self.device)
                images = sample_views(views)
                points = self._run_before(images, number)
                part = LevelBatch(describe_points(images, points, side), points, views.points)
                parts.append(to_device(part, torch.device("cpu")))
        described = LevelBatch(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
        self._described = number, described
        return described

    def _level(self, number: int) -> Level:
        level = self.cascade.levels[number]
        assert isinstance(level, Level)
        return level

    def _level_optimizer(self, number: int) -> torch.optim.Optimizer:
        """Return the optimizer of a level, a new one for a new level."""
        if self._optimizer is None or self._optimizer[0] != number:
            groups = parameter_groups(nn.ModuleDict({"level": self._level(number)}), "none", self.settings)
            self._optimizer = number, build_optimizer(groups, self.settings)
        return self._optimizer[1]

    def _train_epoch(self, epoch: int, finished_steps: int) -> Generator[dict[str, Tensor]]:
        for step in range(finished_steps, self.steps_per_epoch):
            yield self.train_step(self.make_batch(epoch, step), epoch, step)

    def _save(self, folder: Path, key: str, state: SequentialState) -> None:
        assert self._optimizer is not None
        number, optimizer = self._optimizer
        states = {"cascade": self.cascade.state_dict(), "optimizer": optimizer.state_dict(), "level": number}
        save_checkpoint(folder, key, to_device(states, torch.device("cpu")) | vars(state))

    def _resume(self, folder: Path, key: str) -> SequentialState:
        saved: dict[str, Any] | None = load_checkpoint(folder, key)
        if saved is None:
            return SequentialState()
        self.cascade.load_state_dict(saved.pop("cascade"))
        self._level_optimizer(saved.pop("level")).load_state_dict(saved.pop("optimizer"))
        return SequentialState(**saved)
