import math

import pytest
import torch

from onelook.losses.task_weights import TaskWeights
from onelook.settings import TaskWeightSettings

WEIGHTS = TaskWeightSettings(
    classification=1,
    box=2,
    landmarks=0.5,
    mesh=1,
    pixel=1,
    identity=4,
    distillation=1,
    similarity=1,
    feature_supervision=0.5,
    lwf=1,
)
LOSSES = {name: torch.tensor(float(i + 1)) for i, name in enumerate(WEIGHTS.model_dump())}


def test_fixed_weights_are_a_weighted_sum_without_trained_parameters() -> None:
    task_weights = TaskWeights(WEIGHTS, "fixed")
    torch.testing.assert_close(task_weights(LOSSES), torch.tensor(1.0 + 4 + 1.5 + 4 + 5 + 24 + 7 + 8 + 4.5 + 10))
    assert not any(parameter.requires_grad for parameter in task_weights.parameters())


def test_learned_weights_start_at_the_fixed_ones_plus_the_log_variances() -> None:
    task_weights = TaskWeights(WEIGHTS, "learned")
    log_variances = -sum(math.log(weight) for weight in WEIGHTS.model_dump().values())
    torch.testing.assert_close(task_weights(LOSSES), torch.tensor(69.0 + log_variances))


def test_a_learned_weight_converges_to_one_over_its_loss() -> None:
    task_weights = TaskWeights(WEIGHTS, "learned")
    optimizer = torch.optim.SGD(task_weights.parameters(), lr=0.1)
    for _ in range(2000):
        optimizer.zero_grad()
        task_weights(LOSSES).backward()
        optimizer.step()
    for name, weight in task_weights.weights().items():
        assert abs(weight - 1 / LOSSES[name].item()) < 1e-3


def test_tasks_without_a_loss_are_left_out() -> None:
    losses = {name: LOSSES[name] for name in ("box", "identity")}
    torch.testing.assert_close(TaskWeights(WEIGHTS, "fixed")(losses), torch.tensor(4.0 + 24))
    learned = TaskWeights(WEIGHTS, "learned")
    torch.testing.assert_close(learned(losses), torch.tensor(28.0 - math.log(2) - math.log(4)))


@pytest.mark.parametrize("weighting", ["fixed", "learned"])
def test_a_task_of_weight_zero_is_left_out(weighting: str) -> None:
    weights = WEIGHTS.model_copy(update={"landmarks": 0.0})
    task_weights, reference = TaskWeights(weights, weighting), TaskWeights(WEIGHTS, weighting)
    without_landmarks = {name: loss for name, loss in LOSSES.items() if name != "landmarks"}
    total = task_weights(LOSSES | {"landmarks": torch.tensor(math.inf)})
    torch.testing.assert_close(total, reference(without_landmarks))
    assert "landmarks" not in task_weights.weights()
    if weighting == "learned":
        total.backward()
        assert bool(task_weights.log_variance.grad.isfinite().all())


@pytest.mark.parametrize("weighting", ["fixed", "learned"])
def test_a_batch_without_a_weighted_loss_costs_zero_and_has_no_gradient(weighting: str) -> None:
    weights = WEIGHTS.model_copy(update={"identity": 0.0})
    total = TaskWeights(weights, weighting)({"identity": torch.tensor(3.0, requires_grad=True)})
    assert total == 0 and not total.requires_grad
