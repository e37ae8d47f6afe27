from itertools import pairwise

import pytest

from onelook.settings import StepSchedule
from onelook.training.schedule import one_cycle, step_decay


def test_it_rises_to_one_and_falls_to_nearly_nothing() -> None:
    rates = [one_cycle(step, 200) for step in range(200)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == rates[30] == 1
    assert all(a < b for a, b in pairwise(rates[:31]))
    assert all(a > b for a, b in pairwise(rates[30:]))
    assert rates[-1] < 0.002


def test_a_run_of_one_step_has_a_rate() -> None:
    assert 0 < one_cycle(0, 1) <= 1


RETINAFACE = StepSchedule(warm_up=5, start=0.1, drops=(55, 68))


@pytest.mark.parametrize(
    ("epoch", "share"),
    [(0, 0.1), (2.5, 0.55), (5, 1), (54.99, 1), (55, 0.1), (67.99, 0.1), (68, 0.01), (79.99, 0.01)],
)
def test_steps_by_hand(epoch: float, share: float) -> None:
    assert step_decay(epoch, RETINAFACE) == pytest.approx(share)


def test_steps_without_a_warm_up_start_at_the_top() -> None:
    assert step_decay(0, StepSchedule(warm_up=0, start=0.5, drops=())) == 1
