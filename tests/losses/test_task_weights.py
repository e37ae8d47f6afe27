import math

import pytest
import torch

from onelook.losses.task_weights import TaskWeights
from onelook.settings import TaskWeightSettings

WEIGHTS = TaskWeightSettings(classification=1, box=2, landmarks=0.5, mesh=1, pixel=1, identity=4, distil=1, keep=1)
LOSSES = {name: torch.tensor(float(i + 1)) for i, name in enumerate(WEIGHTS.model_dump())}


def test_fixed_weights_are_a_weighted_sum_and_nothing_learns() -> None:
    balance = TaskWeights(WEIGHTS, "fixed")
    torch.testing.assert_close(balance(LOSSES), torch.tensor(1.0 + 4 + 1.5 + 4 + 5 + 24 + 7 + 8))
    assert not any(parameter.requires_grad for parameter in balance.parameters())


def test_learned_weights_start_at_the_fixed_ones_plus_the_log_variances() -> None:
    balance = TaskWeights(WEIGHTS, "learned")
    variances = -sum(math.log(weight) for weight in WEIGHTS.model_dump().values())
    torch.testing.assert_close(balance(LOSSES), torch.tensor(54.5 + variances))


def test_a_learned_weight_settles_at_one_over_its_loss() -> None:
    balance = TaskWeights(WEIGHTS, "learned")
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.1)
    for _ in range(2000):
        optimizer.zero_grad()
        balance(LOSSES).backward()
        optimizer.step()
    for name, weight in balance.weights().items():
        assert abs(weight - 1 / LOSSES[name].item()) < 1e-3


def test_a_task_that_is_not_trained_counts_for_nothing() -> None:
    some = {name: LOSSES[name] for name in ("box", "identity")}
    torch.testing.assert_close(TaskWeights(WEIGHTS, "fixed")(some), torch.tensor(4.0 + 24))
    learned = TaskWeights(WEIGHTS, "learned")
    torch.testing.assert_close(learned(some), torch.tensor(28.0 - math.log(2) - math.log(4)))


@pytest.mark.parametrize("kind", ["fixed", "learned"])
def test_a_task_of_weight_zero_is_left_out(kind: str) -> None:
    weights = WEIGHTS.model_copy(update={"landmarks": 0.0})
    balance, without = TaskWeights(weights, kind), TaskWeights(WEIGHTS, kind)
    others = {name: loss for name, loss in LOSSES.items() if name != "landmarks"}
    total = balance(LOSSES | {"landmarks": torch.tensor(math.inf)})
    torch.testing.assert_close(total, without(others))
    assert "landmarks" not in balance.weights()
    if kind == "learned":
        total.backward()
        assert bool(balance.log_variance.grad.isfinite().all())
