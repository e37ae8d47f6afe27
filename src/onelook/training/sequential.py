"""Epochs of networks that are trained one after the other, with their losses and checkpoints."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from math import isfinite

import torch
from torch import Tensor

from onelook.errors import OnelookError
from onelook.settings import TrainSettings
from onelook.training.callbacks import Metrics


@dataclass
class SequentialState:
    """The state of training besides weights and optimizers.

    Attributes:
        history: number and losses of each finished epoch, counted over all networks.
        steps: finished steps of the unfinished epoch.
        loss_sums: what their losses contribute to the means of the epoch, by name.
    """

    history: list[Metrics] = field(default_factory=list)
    steps: int = 0
    loss_sums: Metrics = field(default_factory=dict)


@dataclass(frozen=True)
class SequentialTraining:
    """The training of networks in turn, each for all epochs of the settings.

    Attributes:
        names: of the networks.
        settings: epochs, and the steps between checkpoints.
        steps_per_epoch: of each network.
        rate_key: setting of the learning rate, for messages.
        train: trains the steps of an epoch from a step on, and yields the scalar losses of each, among them `total`.
            Epochs are counted from 0 over all networks.
        save: writes the checkpoint of a state.
        on_epoch_end: called with the epoch, counted from 1, and its losses.
    """

    names: tuple[str, ...]
    settings: TrainSettings
    steps_per_epoch: int
    rate_key: str
    train: Callable[[int, int], Generator[dict[str, Tensor]]]
    save: Callable[[SequentialState], None]
    on_epoch_end: Callable[[int, Metrics], None]

    def run(self, state: SequentialState) -> list[Metrics]:
        """Train what is left; return number and losses of each epoch, as `NETWORK.loss.NAME`.

        Raises:
            OnelookError: a loss is not finite; the last checkpoint stays.
        """
        interval = self.settings.checkpoint_steps
        for epoch in range(len(state.history), len(self.names) * self.settings.epochs):
            with closing(self.train(epoch, state.steps)) as steps:
                for losses in steps:
                    self._add(losses, epoch, state)
                    if interval and state.steps % interval == 0 and state.steps < self.steps_per_epoch:
                        self.save(state)
            means = state.loss_sums
            state.history.append({"epoch": epoch + 1, **means})
            state.steps, state.loss_sums = 0, {}
            self.save(state)
            self.on_epoch_end(epoch + 1, means)
        return state.history

    def _add(self, losses: dict[str, Tensor], epoch: int, state: SequentialState) -> None:
        """Add the losses of a step to the means of its epoch."""
        values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
        name = self.names[epoch // self.settings.epochs]
        if not isfinite(values["total"]):
            raise OnelookError(
                f"the loss of {name} is not finite in epoch {epoch + 1}, step {state.steps + 1}; "
                f"lower {self.rate_key}; the last checkpoint is kept"
            )
        for loss, value in values.items():
            key = f"{name}.loss.{loss}"
            state.loss_sums[key] = state.loss_sums.get(key, 0.0) + value / self.steps_per_epoch
        state.steps += 1
