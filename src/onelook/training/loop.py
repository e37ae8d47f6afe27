"""The training loop: every epoch a pass over the scenes, a validation and a checkpoint."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, repeat
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onelook.data.batches import Batch, TrainingScenes, prefetch
from onelook.data.faces import FaceBatch, TrainingFaces
from onelook.errors import DataError, OnelookError
from onelook.geometry.anchors import make_anchors
from onelook.model.joint import JointNetwork, SharedPass
from onelook.objective.balance import TaskBalance
from onelook.objective.distilling import distillation_loss
from onelook.objective.identities import NO_IDENTITY
from onelook.objective.identity import identity_loss
from onelook.objective.joint import anchor_losses, predicted_landmarks
from onelook.objective.matching import Matches
from onelook.settings import Settings
from onelook.training.checkpoint import load_checkpoint, save_checkpoint
from onelook.training.schedule import one_cycle

Figures = dict[str, float]


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

    Everything random comes from the seed, epoch and step.
    """

    def __init__(
        self, network: JointNetwork, scenes: TrainingScenes, settings: Settings, faces: TrainingFaces | None = None
    ) -> None:
        """Set up for the steps `settings.train` describes; `faces` are needed where its `faces.batch` is not 0.

        Raises:
            DataError: the teacher's embeddings have another length than the network's.
        """
        # Depthwise convolutions train a third faster with the channels innermost.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scenes = scenes
        self.faces = faces
        self.settings = settings.train
        self.seed = settings.base.seed
        start = network.settings.start
        self.starting = None if start == "nothing" else copy.deepcopy(network).eval().requires_grad_(False)
        self.knows_faces = start == "released"
        self.frozen = self.starting is not None and self.settings.trunk_rate == 0
        network.detector.requires_grad_(not self.frozen)
        size = network.settings.embedding.size
        if faces is not None and faces.teaching_size not in (None, size):
            raise DataError(
                f"the teacher's embeddings have {faces.teaching_size} numbers, the network's {size}; "
                f"set model.embedding.size to {faces.teaching_size}"
            )
        self.identity = identity_loss(self.settings.identity, size, len(scenes.identities))
        self.balance = TaskBalance(self.settings.weights, self.settings.balance)
        self.learned = nn.ModuleDict({"network": network, "identity": self.identity, "balance": self.balance})
        self.optimiser = torch.optim.AdamW(self._groups(), lr=0.0)

    def run(self, checkpoints: Path, key: str, watchers: Watchers) -> Progress:
        """Train to the last epoch, from the checkpoint of the same `key` if there is one.

        The network ends with the weights of its best epoch.

        Raises:
            OnelookError: a loss stopped being finite; the last checkpoint stays.
        """
        progress = self._resume(checkpoints, key)
        for epoch in range(len(progress.history), self.settings.epochs):
            figures = self._epoch(epoch, watchers.step_done)
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

    def _epoch(self, epoch: int, step_done: Callable[[int, int], None]) -> Figures:
        self.network.train()
        count = self.steps()
        sums: Figures = {}
        for step, (scenes, faces) in enumerate(prefetch(self._batches(epoch))):
            self._set_rates(epoch * count + step, count * self.settings.epochs)
            losses: dict[str, Tensor] = {}
            if scenes is not None:
                losses |= self._scene_losses(scenes, epoch, step)
            if faces is not None:
                losses |= self._face_losses(faces)
            total = self.balance(losses)
            if not bool(torch.isfinite(total)):
                raise OnelookError(_not_finite(epoch, step, losses))
            if total.requires_grad:  # with a frozen detector, scenes without a person to know teach nothing
                self.optimiser.zero_grad(set_to_none=True)
                total.backward()
                nn.utils.clip_grad_norm_(self.learned.parameters(), self.settings.clip)
                self.optimiser.step()
            for name, value in {**losses, "total": total}.items():
                sums[f"loss.{name}"] = sums.get(f"loss.{name}", 0.0) + float(value.detach()) / count
            step_done(epoch + 1, step + 1)
        return sums | {f"weight.{name}": value for name, value in self.balance.weights().items()}

    def steps(self) -> int:
        """Steps in an epoch: every face with a name is seen once, or every scene where faces have no batches."""
        return self.scenes.count(self.settings.batch) if self.faces is None else self.faces.count()

    def _batches(self, epoch: int) -> Iterator[tuple[Batch | None, FaceBatch | None]]:
        scenes = repeat(None) if self.settings.batch == 0 else self._scene_batches(epoch)
        faces = repeat(None) if self.faces is None else self.faces.batches(epoch)
        return islice(zip(scenes, faces, strict=False), self.steps())

    def _scene_batches(self, epoch: int) -> Iterator[Batch]:
        """As many rounds over the scenes as an epoch has steps for, each in an order of its own."""
        rounds = ceil(self.steps() / self.scenes.count(self.settings.batch))
        for each in range(rounds):
            yield from self.scenes.batches(epoch * rounds + each, self.settings.batch)

    def _look(self, images: Tensor) -> SharedPass:
        with torch.set_grad_enabled(not self.frozen):
            shared: SharedPass = self.network(images.contiguous(memory_format=torch.channels_last))
        return shared

    def _face_losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        with torch.set_grad_enabled(not self.frozen):
            maps = self.network.detector.shared_maps(batch.images.contiguous(memory_format=torch.channels_last))
        embeddings = self.network.embed(maps, batch.landmarks.split(1))
        losses = {"identity": self.identity(embeddings, batch.identities)}
        if self.faces is not None and self.faces.teaching_size is not None:
            losses["distil"] = distillation_loss(embeddings, batch.taught)
        return losses

    def _scene_losses(self, batch: Batch, epoch: int, step: int) -> dict[str, Tensor]:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        shared = self._look(images)
        anchors = make_anchors(batch.images.shape[2], batch.images.shape[3], self.network.detector.levels)
        start = None
        if self.starting is not None:
            with torch.no_grad():
                start = shared if self.frozen else self.starting(images)
        losses, matches = anchor_losses(
            shared.anchors,
            None if start is None else start.anchors,
            anchors,
            batch.boxes,
            batch.landmarks,
            self.settings.matching,
        )
        if self.faces is not None:
            return losses
        landmarks, identities = self._faces_to_embed(batch, shared, anchors, matches, epoch, step)
        if len(identities) < 2:  # batch statistics need two faces
            return losses | {"identity": shared.anchors.logits.sum() * 0}
        embeddings = self.network.embed(shared.maps, landmarks)
        losses["identity"] = self.identity(embeddings, identities)
        if self.starting is not None and start is not None and self.knows_faces:
            # What the released weights know of faces is to be kept, as what they know of where faces are.
            with torch.no_grad():
                taught = self.starting.embed(start.maps, landmarks)
            losses["distil"] = distillation_loss(embeddings, taught)
        return losses

    def _faces_to_embed(
        self, batch: Batch, shared: SharedPass, anchors: Tensor, matches: list[Matches], epoch: int, step: int
    ) -> tuple[list[Tensor], Tensor]:
        """Landmarks per image and identities of the faces that have both, and of strangers where the loss knows them.

        A growing share is sampled at the landmarks the network itself predicts, the rest at labelled ones with jitter:
        training sees what inference will.
        """
        rng = np.random.default_rng([self.seed, epoch, step, 1])
        augment = self.settings.augment
        share = augment.predicted_share * epoch / max(1, self.settings.epochs - 1)
        chosen, identities = [], []
        for image, (boxes, points, who) in enumerate(zip(batch.boxes, batch.landmarks, batch.identities, strict=True)):
            sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1).clip(min=0).sqrt()
            noise = torch.from_numpy(rng.standard_normal(points.shape, np.float32))
            jittered = points + noise * augment.landmark_jitter * sizes[:, None, None]
            guessed = predicted_landmarks(shared.anchors, image, anchors, matches[image], jittered)
            guess = torch.from_numpy(rng.random(len(points)) < share)
            wanted = who != NO_IDENTITY
            if self.settings.identity.strangers:
                # A face that is cut off or too small may be a person's who lost the name by it: it is no stranger.
                whole = ((points >= 0) & (points <= augment.crop)).all(-1).all(-1)
                wanted |= whole & (sizes >= augment.smallest_identity)
            wanted &= points.isfinite().all(-1).all(-1)
            chosen.append(torch.where(guess[:, None, None], guessed, jittered)[wanted])
            identities.append(who[wanted])
        return chosen, torch.cat(identities)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameter groups: what the starting detector knows learns slower; norms and biases do not decay."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.learned.named_parameters():
            if parameter.requires_grad:
                known = name.startswith("network.detector.") and self.starting is not None
                rate = self.settings.trunk_rate if known else 1.0
                decay = self.settings.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
        return [
            {"params": parameters, "weight_decay": decay, "share": rate} for (rate, decay), parameters in groups.items()
        ]

    def _set_rates(self, step: int, steps: int) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * group["share"] * one_cycle(step, steps)

    def _save(self, folder: Path, key: str, progress: Progress) -> None:
        state = {"learned": self.learned.state_dict(), "optimiser": self.optimiser.state_dict(), **vars(progress)}
        save_checkpoint(folder, key, state)

    def _resume(self, folder: Path, key: str) -> Progress:
        state = load_checkpoint(folder, key)
        if state is None:
            return Progress()
        self.learned.load_state_dict(state["learned"])
        self.optimiser.load_state_dict(state["optimiser"])
        return Progress(state["history"], state["best"], state["best_state"])


def _not_finite(epoch: int, step: int, losses: dict[str, Tensor]) -> str:
    parts = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in losses.items())
    return (
        f"training: the loss is not finite in epoch {epoch + 1}, step {step + 1} ({parts}); "
        "lower train.learning_rate or train.weights; the last checkpoint is kept"
    )
