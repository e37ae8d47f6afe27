"""The training loop: every epoch a pass over the scenes, a validation and a checkpoint."""

import copy
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from math import ceil, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import new_group
from torch.nn.parallel import DistributedDataParallel

from onelook.data.face_dataset import FaceBatch, FaceDataset
from onelook.data.scene_dataset import SceneBatch, SceneDataset, prefetch
from onelook.distributed import all_reduce_mean, rank, world_size
from onelook.errors import DataError, ModelError, OnelookError
from onelook.losses.identity import build_identity_loss
from onelook.losses.task_weights import TaskWeights
from onelook.model.deformable import OFFSETS_RATE
from onelook.model.joint_network import JointNetwork
from onelook.settings import Settings
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.checks import check_labels, require_morphable_model
from onelook.training.schedule import one_cycle, step_decay
from onelook.training.sharding import clip_gradients, gather_state, load_state, replicated_modules
from onelook.training.sync_batch_norm import convert_sync_batch_norm
from onelook.training.task_losses import TaskLosses


class StepLosses(nn.Module):
    """The losses of scenes and faces by name, with their weighted sum as `total`.

    Args:
        learned: all that has parameters which are the same in all processes, the balance among it.
        losses: of the tasks, over the same modules.
    """

    def __init__(self, learned: nn.ModuleDict, losses: TaskLosses, balance: TaskWeights) -> None:
        super().__init__()
        self.learned = learned
        self._losses = losses
        self._balance = balance

    def forward(self, scenes: SceneBatch | None, faces: FaceBatch | None, epoch: int, batch: int) -> dict[str, Tensor]:
        """`epoch` and `batch`, its number within the epoch, both from 0, choose what is random."""
        losses: dict[str, Tensor] = {}
        if scenes is not None:
            losses |= self._losses.of_scenes(scenes, epoch, batch)
        if faces is not None:
            losses |= self._losses.of_faces(faces, epoch, batch)
        return losses | {"total": self._balance(losses)}


def wrap_ddp(losses: StepLosses) -> StepLosses | DistributedDataParallel:
    """The same losses, whose gradients are the mean over the processes where there are several."""
    if world_size() == 1:
        return losses
    # A 1x1 kernel's strides can be told in two ways: copying one into the other is no matter.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    # A group of its own: while it sums gradients, batch norms sum theirs, and the two may come in any order. A batch
    # may leave a head unused.
    return DistributedDataParallel(losses, process_group=new_group(), find_unused_parameters=True)


def maybe_no_sync(losses: StepLosses | DistributedDataParallel, whole: bool) -> AbstractContextManager[None]:
    """Around forward and backward: processes exchange their gradients only when those of a step are `whole`."""
    return losses.no_sync() if isinstance(losses, DistributedDataParallel) and not whole else nullcontext()


Figures = dict[str, float]
_Both = tuple[SceneBatch | None, FaceBatch | None]


@dataclass
class Callbacks:
    """Who is told what, and who judges.

    Attributes:
        validate: figures of the network as it stands; `figure` is the one the best epoch is chosen by.
        epoch_done: called with the epoch, counted from 1, and its losses and figures.
        step_done: called with the epoch under way, counted from 1, and its steps done.
    """

    validate: Callable[[JointNetwork], Figures]
    epoch_done: Callable[[int, Figures], None] = lambda epoch, figures: None
    step_done: Callable[[int, int], None] = lambda epoch, step: None


@dataclass
class TrainState:
    """Where training stands: the epochs done and the best network so far."""

    history: list[Figures] = field(default_factory=list)
    best: Figures = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)


class Trainer:
    """Joint training of one network on scenes, on single faces cut out of them, or on both in every step.

    Everything random comes from the seed, epoch and step. Processes that train together share each batch; their
    networks are the same after every step, and those of one process with that batch but for rounding. Of a classifier
    with a margin each has the centers of its share of the identities; a checkpoint holds all, for any number of
    processes to go on from.
    """

    def __init__(
        self, network: JointNetwork, scenes: SceneDataset, settings: Settings, faces: FaceDataset | None = None
    ) -> None:
        """Set up for the steps `settings.train` describes; `faces` are needed where its `faces.batch_size` is not 0.

        Raises:
            DataError: the teacher's embeddings have another length than the network's, or a task that is trained has
                nothing to learn from.
        """
        check_labels(network, scenes, settings.train)
        if world_size() > 1:
            convert_sync_batch_norm(network)
        # Depthwise convolutions train a third faster with the channels innermost.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scenes = scenes
        self.faces = faces
        self.settings = settings.train
        self.seed = settings.base.seed
        size = network.settings.embedding.dim
        for taught in (scenes.teaching_size, None if faces is None else faces.teaching_size):
            if taught not in (None, size):
                raise DataError(
                    f"the teacher's embeddings have {taught} numbers, the network's {size}; "
                    f"set model.embedding.dim to {taught}"
                )
        if network.dense is not None:
            network.dense.decoder.set_basis(*map(torch.from_numpy, require_morphable_model(scenes, settings.train)))
        identity: nn.Module = nn.Identity()  # detection alone may have nobody to know
        if self.settings.tasks != "detection":
            identity = build_identity_loss(self.settings.identity, size, len(scenes.identities))
        self.losses = TaskLosses(self.network, identity, settings, scenes_embed=faces is None)
        network.detector.requires_grad_(not self.losses.frozen)
        self.task_weights = TaskWeights(self.settings.weights, self.settings.task_weighting)
        self.learned = nn.ModuleDict({"network": network, "identity": identity, "balance": self.task_weights})
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(self._groups(), lr=0.0)
            if self.settings.optimizer == "adamw"
            else torch.optim.SGD(self._groups(), lr=0.0, momentum=self.settings.momentum)
        )
        self.step_losses = wrap_ddp(StepLosses(replicated_modules(self.learned), self.losses, self.task_weights))

    def run(self, checkpoints: Path, key: str, watchers: Callbacks) -> TrainState:
        """Train to the last epoch, from the checkpoint of the same `key` if there is one.

        The network ends with the weights of its best epoch. Of several processes the first alone writes checkpoints;
        what the others validate has no effect.

        Raises:
            OnelookError: a loss stopped being finite; the last checkpoint stays.
            ModelError: the checkpoint is damaged, or not all processes see it.
        """
        progress = self._resume(checkpoints, key)
        epochs = range(len(progress.history), self.settings.epochs)
        with closing(self.loader(epochs)) as batches:
            for epoch in epochs:
                figures = self._epoch(epoch, batches, watchers.step_done)
                figures |= watchers.validate(self.network)
                progress.history.append({"epoch": epoch + 1, **figures})
                # Of equals the later: it has seen more.
                if not progress.best or figures["figure"] >= progress.best["figure"]:
                    progress.best = {"epoch": epoch + 1, **figures}
                    progress.best_state = copy.deepcopy(self.network.state_dict())
                self._save(checkpoints, key, progress)
                watchers.epoch_done(epoch + 1, figures)
        self.network.load_state_dict(progress.best_state)
        return progress

    def loader(self, epochs: Iterable[int]) -> Generator[_Both]:
        """The batches of epochs, counted from 0, made ahead of the steps: an epoch's first ones during validation."""
        return prefetch(chain.from_iterable(map(self._batches, epochs)))

    def _epoch(self, epoch: int, batches: Iterator[_Both], step_done: Callable[[int, int], None]) -> Figures:
        self.network.train()
        count, parts = self.steps(), self.settings.accumulation_steps
        sums: Figures = {}
        for number, (scenes, faces) in enumerate(islice(batches, self._batches_needed())):
            step, part = divmod(number, parts)
            if part == 0:
                self._set_rates(epoch * count + step, count)
                self.optimizer.zero_grad(set_to_none=True)
            whole = part == parts - 1
            with maybe_no_sync(self.step_losses, whole):
                losses = self.step_losses(scenes, faces, epoch, number)
                figures = all_reduce_mean(losses)
                if not isfinite(figures["total"]):
                    raise OnelookError(_not_finite(epoch, step, figures))
                if losses["total"].requires_grad:  # a frozen detector learns nothing of scenes without people to know
                    (losses["total"] / parts).backward()
            for name, value in figures.items():
                sums[f"loss.{name}"] = sums.get(f"loss.{name}", 0.0) + value / (count * parts)
            if whole:
                clip_gradients(self.learned, self.settings.max_grad_norm)
                self.optimizer.step()
                step_done(epoch + 1, step + 1)
        return sums | {f"weight.{name}": value for name, value in self.task_weights.weights().items()}

    def steps(self) -> int:
        """Steps in an epoch: every face with a name is seen once, or every scene where faces have no batches."""
        batches = self.scenes.count(self.settings.batch_size) if self.faces is None else self.faces.count()
        return max(1, batches // self.settings.accumulation_steps)

    def _batches(self, epoch: int) -> Iterator[_Both]:
        scenes = repeat(None) if self.settings.batch_size == 0 else self._scene_batches(epoch)
        faces = repeat(None) if self.faces is None else self._face_batches(epoch)
        return islice(zip(scenes, faces, strict=False), self._batches_needed())

    def _batches_needed(self) -> int:
        return self.steps() * self.settings.accumulation_steps

    def _scene_batches(self, epoch: int) -> Iterator[SceneBatch]:
        """As many rounds over the scenes as an epoch has batches for, each in an order of its own."""
        rounds = ceil(self._batches_needed() / self.scenes.count(self.settings.batch_size))
        for each in range(rounds):
            yield from self.scenes.batches(epoch * rounds + each, self.settings.batch_size, (rank(), world_size()))

    def _face_batches(self, epoch: int) -> Iterator[FaceBatch]:
        """One round over the faces, or as many as the batches of a single step take."""
        assert self.faces is not None
        rounds = ceil(self._batches_needed() / self.faces.count())
        for each in range(rounds):
            yield from self.faces.batches(epoch * rounds + each, (rank(), world_size()))

    def _groups(self) -> list[dict[str, Any]]:
        """Parameter groups: what detection starts from learns slower, offsets too; norms and biases do not decay."""
        starts = {"random": None, "imagenet": "network.detector.backbone."}
        started = starts.get(self.network.settings.init, "network.detector.")
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.learned.named_parameters():
            if parameter.requires_grad:
                known = started is not None and name.startswith(started)
                rate = self.settings.backbone_lr_mult if known else 1.0
                rate *= OFFSETS_RATE if ".offsets." in name else 1.0
                decay = self.settings.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
        return [
            {"params": parameters, "weight_decay": decay, "share": rate} for (rate, decay), parameters in groups.items()
        ]

    def _set_rates(self, step: int, count: int) -> None:
        """Rates at a step counted from the start of training, with `count` steps an epoch."""
        if self.settings.schedule == "one_cycle":
            share = one_cycle(step, count * self.settings.epochs)
        else:
            share = step_decay(step / count, self.settings.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * group["share"] * share

    def _save(self, folder: Path, key: str, progress: TrainState) -> None:
        learned, optimizer = gather_state(self.learned, self.optimizer)
        if rank() == 0:
            save_checkpoint(folder, key, {"learned": learned, "optimizer": optimizer, **vars(progress)})

    def _resume(self, folder: Path, key: str) -> TrainState:
        state = load_checkpoint(folder, key)
        done = torch.tensor(0.0 if state is None else len(state["history"]))
        if all_reduce_mean({"done": done})["done"] != float(done):
            raise ModelError(f"{folder}: not all processes see the same checkpoint; give them a folder that all share")
        if state is None:
            return TrainState()
        load_state(self.learned, self.optimizer, state["learned"], state["optimizer"])
        return TrainState(state["history"], state["best"], state["best_state"])


def _not_finite(epoch: int, step: int, losses: Figures) -> str:
    parts = ", ".join(f"{name} {value:.4g}" for name, value in losses.items() if name != "total")
    return (
        f"training: the loss is not finite in epoch {epoch + 1}, step {step + 1} ({parts}); "
        "lower train.learning_rate or train.weights; the last checkpoint is kept"
    )
