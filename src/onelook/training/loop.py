"""The training loop: every epoch a pass over the scenes, a validation and a checkpoint."""

import copy
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from math import ceil, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onelook.data.batches import Batch, TrainingScenes, prefetch
from onelook.data.faces import FaceBatch, TrainingFaces
from onelook.errors import DataError, ModelError, OnelookError
from onelook.model.deformable import OFFSETS_RATE
from onelook.model.joint import JointNetwork
from onelook.objective.balance import TaskBalance
from onelook.objective.identity import identity_loss
from onelook.settings import Settings
from onelook.together import means, processes, rank
from onelook.training.batch_norm import share_batch_norms
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.losses import TaskLosses
from onelook.training.needs import check_labels, known_basis
from onelook.training.schedule import one_cycle, stepped
from onelook.training.split import alike, clip_gradients, take_state, whole_state
from onelook.training.step import StepLosses, keeping_gradients, shared

Figures = dict[str, float]
_Both = tuple[Batch | None, FaceBatch | None]


@dataclass
class Watchers:
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
class Progress:
    """Where training stands: the epochs done and the best network so far."""

    history: list[Figures] = field(default_factory=list)
    best: Figures = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)


class Trainer:
    """Joint training of one network on scenes, on single faces cut out of them, or on both in every step.

    Everything random comes from the seed, epoch and step. Processes that train together share each batch; their
    networks are the same after every step, and those of one process with that batch but for rounding. Of a classifier
    with a margin each has the centres of its share of the identities; a checkpoint holds all, for any number of
    processes to go on from.
    """

    def __init__(
        self, network: JointNetwork, scenes: TrainingScenes, settings: Settings, faces: TrainingFaces | None = None
    ) -> None:
        """Set up for the steps `settings.train` describes; `faces` are needed where its `faces.batch` is not 0.

        Raises:
            DataError: the teacher's embeddings have another length than the network's, or a task that is trained has
                nothing to learn from.
        """
        check_labels(network, scenes, settings.train)
        if processes() > 1:
            share_batch_norms(network)
        # Depthwise convolutions train a third faster with the channels innermost.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scenes = scenes
        self.faces = faces
        self.settings = settings.train
        self.seed = settings.base.seed
        size = network.settings.embedding.size
        for taught in (scenes.teaching_size, None if faces is None else faces.teaching_size):
            if taught not in (None, size):
                raise DataError(
                    f"the teacher's embeddings have {taught} numbers, the network's {size}; "
                    f"set model.embedding.size to {taught}"
                )
        if network.dense is not None:
            network.dense.decoder.set_basis(*map(torch.from_numpy, known_basis(scenes, settings.train)))
        identity: nn.Module = nn.Identity()  # detection alone may have nobody to know
        if self.settings.tasks != "detection":
            identity = identity_loss(self.settings.identity, size, len(scenes.identities))
        self.losses = TaskLosses(self.network, identity, settings, scenes_embed=faces is None)
        network.detector.requires_grad_(not self.losses.frozen)
        self.balance = TaskBalance(self.settings.weights, self.settings.balance)
        self.learned = nn.ModuleDict({"network": network, "identity": identity, "balance": self.balance})
        self.optimiser: torch.optim.Optimizer = (
            torch.optim.AdamW(self._groups(), lr=0.0)
            if self.settings.optimiser == "adamw"
            else torch.optim.SGD(self._groups(), lr=0.0, momentum=self.settings.momentum)
        )
        self.step_losses = shared(StepLosses(alike(self.learned), self.losses, self.balance))

    def run(self, checkpoints: Path, key: str, watchers: Watchers) -> Progress:
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
        count, parts = self.steps(), self.settings.accumulate
        sums: Figures = {}
        for number, (scenes, faces) in enumerate(islice(batches, self._batches_needed())):
            step, part = divmod(number, parts)
            if part == 0:
                self._set_rates(epoch * count + step, count)
                self.optimiser.zero_grad(set_to_none=True)
            whole = part == parts - 1
            with keeping_gradients(self.step_losses, whole):
                losses = self.step_losses(scenes, faces, epoch, number)
                figures = means(losses)
                if not isfinite(figures["total"]):
                    raise OnelookError(_not_finite(epoch, step, figures))
                if losses["total"].requires_grad:  # a frozen detector learns nothing of scenes without people to know
                    (losses["total"] / parts).backward()
            for name, value in figures.items():
                sums[f"loss.{name}"] = sums.get(f"loss.{name}", 0.0) + value / (count * parts)
            if whole:
                clip_gradients(self.learned, self.settings.clip)
                self.optimiser.step()
                step_done(epoch + 1, step + 1)
        return sums | {f"weight.{name}": value for name, value in self.balance.weights().items()}

    def steps(self) -> int:
        """Steps in an epoch: every face with a name is seen once, or every scene where faces have no batches."""
        batches = self.scenes.count(self.settings.batch) if self.faces is None else self.faces.count()
        return max(1, batches // self.settings.accumulate)

    def _batches(self, epoch: int) -> Iterator[_Both]:
        scenes = repeat(None) if self.settings.batch == 0 else self._scene_batches(epoch)
        faces = repeat(None) if self.faces is None else self._face_batches(epoch)
        return islice(zip(scenes, faces, strict=False), self._batches_needed())

    def _batches_needed(self) -> int:
        return self.steps() * self.settings.accumulate

    def _scene_batches(self, epoch: int) -> Iterator[Batch]:
        """As many rounds over the scenes as an epoch has batches for, each in an order of its own."""
        rounds = ceil(self._batches_needed() / self.scenes.count(self.settings.batch))
        for each in range(rounds):
            yield from self.scenes.batches(epoch * rounds + each, self.settings.batch, (rank(), processes()))

    def _face_batches(self, epoch: int) -> Iterator[FaceBatch]:
        """One round over the faces, or as many as the batches of a single step take."""
        assert self.faces is not None
        rounds = ceil(self._batches_needed() / self.faces.count())
        for each in range(rounds):
            yield from self.faces.batches(epoch * rounds + each, (rank(), processes()))

    def _groups(self) -> list[dict[str, Any]]:
        """Parameter groups: what detection starts from learns slower, offsets too; norms and biases do not decay."""
        starts = {"nothing": None, "imagenet": "network.detector.trunk."}
        started = starts.get(self.network.settings.start, "network.detector.")
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.learned.named_parameters():
            if parameter.requires_grad:
                known = started is not None and name.startswith(started)
                rate = self.settings.trunk_rate if known else 1.0
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
            share = stepped(step / count, self.settings.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * group["share"] * share

    def _save(self, folder: Path, key: str, progress: Progress) -> None:
        learned, optimiser = whole_state(self.learned, self.optimiser)
        if rank() == 0:
            save_checkpoint(folder, key, {"learned": learned, "optimiser": optimiser, **vars(progress)})

    def _resume(self, folder: Path, key: str) -> Progress:
        state = load_checkpoint(folder, key)
        done = torch.tensor(0.0 if state is None else len(state["history"]))
        if means({"done": done})["done"] != float(done):
            raise ModelError(f"{folder}: not all processes see the same checkpoint; give them a folder that all share")
        if state is None:
            return Progress()
        take_state(self.learned, self.optimiser, state["learned"], state["optimiser"])
        return Progress(state["history"], state["best"], state["best_state"])


def _not_finite(epoch: int, step: int, losses: Figures) -> str:
    parts = ", ".join(f"{name} {value:.4g}" for name, value in losses.items() if name != "total")
    return (
        f"training: the loss is not finite in epoch {epoch + 1}, step {step + 1} ({parts}); "
        "lower train.learning_rate or train.weights; the last checkpoint is kept"
    )
