"""Epochs of two made-up networks: their means, checkpoints, and a loss that is not finite."""

from collections.abc import Generator
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from onelook.errors import OnelookError
from onelook.settings import TrainSettings
from onelook.training.sequential import SequentialState, SequentialTraining

SETTINGS = TrainSettings(epochs=2, checkpoint_steps=2)


def make_training(saved: list[SequentialState], trained: list[tuple[int, int]], bad: int = -1) -> SequentialTraining:
    """Return a training whose loss is 10 * epoch + step, and not a number in one epoch."""

    def train(epoch: int, first: int) -> Generator[dict[str, Tensor]]:
        for step in range(first, 3):
            trained.append((epoch, step))
            yield {"total": torch.tensor(float("nan") if epoch == bad else 10.0 * epoch + step)}

    def save(state: SequentialState) -> None:
        saved.append(deepcopy(state))

    return SequentialTraining(("a", "b"), SETTINGS, 3, "rate", train, save, lambda epoch, losses: None)


def test_each_network_is_trained_for_all_epochs_and_a_run_resumes_from_any_checkpoint() -> None:
    saved: list[SequentialState] = []
    trained: list[tuple[int, int]] = []
    history = make_training(saved, trained).run(SequentialState())
    assert trained == [(epoch, step) for epoch in range(4) for step in range(3)]
    assert [list(each) for each in history] == [["epoch", f"{name}.loss.total"] for name in "aabb"]
    assert [each["b.loss.total"] for each in history[2:]] == pytest.approx([21, 31])
    assert [(len(each.history), each.steps) for each in saved[:4]] == [(0, 2), (1, 0), (1, 2), (2, 0)]
    for state in saved:
        rest: list[tuple[int, int]] = []
        done = 3 * len(state.history) + state.steps
        assert make_training([], rest).run(deepcopy(state)) == history
        assert rest == trained[done:]


def test_a_loss_that_is_not_finite_ends_the_run_and_saves_nothing() -> None:
    saved: list[SequentialState] = []
    with pytest.raises(OnelookError, match=r"^the loss of b is not finite in epoch 3, step 1; lower rate; "):
        make_training(saved, [], bad=2).run(SequentialState())
    assert len(saved[-1].history) == 2 and saved[-1].steps == 0
