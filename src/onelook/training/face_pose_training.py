"""Training of FacePoseNet on views of faces with poses.

Views have a moved, scaled, rotated or mirrored box, as those of landmark cascades. Half of them are coarse, as those of
small or blurred faces. The network standardizes poses by their mean and standard deviation in views of all faces. All
random numbers depend on seed, epoch and step alone, so an interrupted run continues to the same bits.
"""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.data.landmark_faces import FaceViews, draw_views, sample_views
from onelook.data.posed_faces import PosedFaces
from onelook.device import to_device
from onelook.geometry.face_pose import view_poses
from onelook.losses.face_pose import pose_loss
from onelook.model.face_pose_net import FacePoseNet
from onelook.settings import Settings
from onelook.training.callbacks import Metrics
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.learning_rates import build_optimizer, parameter_groups, set_learning_rates
from onelook.training.sequential import SequentialState, SequentialTraining

FACES_PER_STEP = 32
"""Views of a step."""
_COARSE_FACTORS = (1, 1, 2, 4)
"""Factors by which views are reduced and enlarged again, each for as many of them."""
_STATISTICS_VIEWS = 4  # of each face, from which mean and standard deviation of poses are computed
_MIN_STD = 1e-3


class PoseBatch(NamedTuple):
    """Inputs of a step, of n faces.

    Attributes:
        images: (n, 1, side, side) float32 in 0..255.
        poses: (n, 6) float32.
    """

    images: Tensor
    poses: Tensor


class FacePoseTrainer:
    """Training of the network in one process."""

    def __init__(
        self, network: FacePoseNet, faces: PosedFaces, settings: Settings, steps_per_epoch: int, device: torch.device
    ) -> None:
        """Set shape and statistics of the network, and move it to the device.

        Args:
            network: with random weights.
            faces: the training faces.
            settings: the sections `train` and `base`.
            steps_per_epoch: of the joint network.
            device: of the training.
        """
        self.network = network.to(device)
        self.faces = faces
        self.settings = settings.train
        self.seed = settings.base.seed
        self.steps_per_epoch = steps_per_epoch
        self.device = device
        poses = self._draw_statistics()
        level = network.level
        level.shape.copy_(torch.from_numpy(faces.shape))
        level.mean.copy_(torch.from_numpy(poses.mean(0)))
        level.std.copy_(torch.from_numpy(np.maximum(poses.std(0), _MIN_STD)))
        self._optimizer = build_optimizer(
            parameter_groups(nn.ModuleDict({"pose": level}), "none", self.settings), self.settings
        )

    def run(self, checkpoints: Path, key: str, on_epoch_end: Callable[[int, Metrics], None]) -> list[Metrics]:
        """Train for all epochs; return number and loss of each epoch, as `pose.loss.NAME`.

        Args:
            checkpoints: folder of the checkpoint.
            key: training resumes from a checkpoint with this key, if there is one.
            on_epoch_end: called with the epoch, counted from 1, and its losses.

        Raises:
            OnelookError: a loss is not finite; the last checkpoint stays.
            ModelError: the checkpoint is damaged.
        """
        state = self._resume(checkpoints, key)
        training = SequentialTraining(
            ("pose",),
            self.settings,
            self.steps_per_epoch,
            "train.learning_rate",
            self._train_epoch,
            lambda state: self._save(checkpoints, key, state),
            on_epoch_end,
        )
        history = training.run(state)
        self.network.eval()
        return history

    def make_batch(self, epoch: int, step: int) -> PoseBatch:
        """Draw the faces of a step; their images and poses are on the device.

        Args:
            epoch: counted from 0.
            step: its number within the epoch, from 0.
        """
        rng = np.random.default_rng([self.seed, epoch, step])
        rows = rng.integers(0, len(self.faces.poses), FACES_PER_STEP)
        views, poses = self._draw_views(rows, rng)
        factors = torch.from_numpy(rng.permutation(np.resize(_COARSE_FACTORS, FACES_PER_STEP)))
        views, labels, factors = to_device((views, torch.from_numpy(poses).float(), factors), self.device)
        return PoseBatch(coarsen(sample_views(views), factors), labels)

    def train_step(self, batch: PoseBatch, epoch: int, step: int) -> dict[str, Tensor]:
        """Train the network on a batch.

        Returns:
            Scalar losses on the device, by name. They are not read.
        """
        level = self.network.level
        set_learning_rates(self._optimizer, self.settings, epoch * self.steps_per_epoch + step, self.steps_per_epoch)
        level.train()
        self._optimizer.zero_grad(set_to_none=True)
        loss = pose_loss(level.regress(batch.images), level.standardize_poses(batch.poses))
        loss.backward()
        nn.utils.clip_grad_norm_(level.parameters(), self.settings.max_grad_norm)
        self._optimizer.step()
        return {"pose": loss, "total": loss}

    def _draw_views(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[FaceViews, np.ndarray]:
        """Draw a view of each face, and return its pose (n, 6)."""
        views = draw_views(self.faces.faces, rows, rng)
        return views, view_poses(self.faces.poses[rows], views.transforms.double().numpy())

    def _draw_statistics(self) -> np.ndarray:
        """Return the poses (n, 6) of some views of each face."""
        rng = np.random.default_rng([self.seed])
        rows = np.arange(len(self.faces.poses))
        return np.concatenate([self._draw_views(rows, rng)[1] for _ in range(_STATISTICS_VIEWS)])

    def _train_epoch(self, epoch: int, finished_steps: int) -> Generator[dict[str, Tensor]]:
        for step in range(finished_steps, self.steps_per_epoch):
            yield self.train_step(self.make_batch(epoch, step), epoch, step)

    def _save(self, folder: Path, key: str, state: SequentialState) -> None:
        states = {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}
        save_checkpoint(folder, key, to_device(states, torch.device("cpu")) | vars(state))

    def _resume(self, folder: Path, key: str) -> SequentialState:
        saved: dict[str, Any] | None = load_checkpoint(folder, key)
        if saved is None:
            return SequentialState()
        self.network.load_state_dict(saved.pop("network"))
        self._optimizer.load_state_dict(saved.pop("optimizer"))
        return SequentialState(**saved)


def coarsen(images: Tensor, factors: Tensor) -> Tensor:
    """Reduce each image (n, 1, side, side) by its factor (n,), one of 1, 2 and 4, and enlarge it to its size again."""
    coarse = images
    for factor in (2, 4):
        reduced = functional.interpolate(functional.avg_pool2d(images, factor), scale_factor=factor, mode="bilinear")
        coarse = torch.where((factors == factor)[:, None, None, None], reduced, coarse)
    return coarse
