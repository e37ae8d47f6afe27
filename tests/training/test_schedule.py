from itertools import pairwise

import pytest

from onelook.training.schedule import one_cycle


def test_it_rises_to_one_and_falls_to_nearly_nothing() -> None:
    rates = [one_cycle(step, 200) for step in range(200)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == rates[30] == 1
    assert all(a < b for a, b in pairwise(rates[:31]))
    assert all(a > b for a, b in pairwise(rates[30:]))
    assert rates[-1] < 0.002


def test_a_run_of_one_step_has_a_rate() -> None:
    assert 0 < one_cycle(0, 1) <= 1
