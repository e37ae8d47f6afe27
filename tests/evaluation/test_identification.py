"""Open-set identification against a worked example and a brute-force twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.evaluation.identification import (
    NON_MATED,
    Trials,
    detection_and_identification,
    dir_at_fpir,
    false_positive_identification,
    identification_figures,
    rank1,
    run_trials,
    threshold_at_fpir,
)

MISSED = [-np.inf, -np.inf, -np.inf]


@pytest.fixture()
def worked() -> Trials:
    """Three people enrolled; five of their faces, one missed, then a stranger and a false alarm."""
    similarities = np.array(
        [
            [0.9, 0.3, 0.1],  # a, right; without a: 0.3
            [0.5, 0.4, 0.1],  # a, right; without a: 0.4
            [0.6, 0.2, 0.1],  # b, taken for a; without b: 0.6
            MISSED,  # b
            [0.1, 0.2, 0.7],  # c, right; without c: 0.2
            [0.1, 0.55, 0.3],  # a stranger: 0.55
            [0.05, 0.0, -0.1],  # a false alarm: 0.05
        ]
    )
    owners = np.array([0, 0, 1, 1, 2, NON_MATED, NON_MATED])
    sizes = np.array([100, 20, 100, 20, 100, 100, np.nan])
    return run_trials(similarities, owners, np.array([0, 0, 1, 1, 2, 3, 4]), sizes)


def test_worked_example(worked: Trials) -> None:
    assert worked.correct.tolist() == [True, True, False, False, True]
    assert worked.genuine.tolist() == [0.9, 0.5, 0.2, -np.inf, 0.7]
    assert worked.other_scores.tolist() == [0.6, 0.55, 0.4, 0.3, 0.2, 0.05]
    assert rank1(worked) == 3 / 5
    assert rank1(worked, smallest=48) == 2 / 3
    assert false_positive_identification(worked, 0.4) == 3 / 6
    assert detection_and_identification(worked, 0.6) == 2 / 5
    # One sixth of the strangers may pass: those over .55.
    assert dir_at_fpir(worked, 1 / 6) == 2 / 5
    assert dir_at_fpir(worked, 0.1) == 2 / 5
    assert dir_at_fpir(worked, 0.5) == 3 / 5
    assert dir_at_fpir(worked, 1.0) == rank1(worked)


def test_figures_of_people_counted_several_times(worked: Trials) -> None:
    weights = np.array([2.0, 0.0, 1.0, 1.0, 1.0])
    figures = identification_figures(worked, large=48, threshold=0.45, weights=weights)
    assert figures == pytest.approx(
        {
            "rank1": 1.0,
            "rank1_large": 1.0,
            "dir_fpir1": 3 / 5,  # over .55: twice .9, and .7, but not twice .5
            "dir_fpir10": 3 / 5,
            "dir_calibrated": 1.0,
            "fpir_calibrated": 1 / 7,
        }
    )


def test_a_person_nothing_was_enrolled_of_is_a_miss_and_nobody_is_taken_for_them() -> None:
    similarities = np.array([[0.2, -np.inf], [0.9, -np.inf]])
    trials = run_trials(similarities, np.array([1, 0]), np.arange(2), np.full(2, 50.0))
    assert trials.correct.tolist() == [False, True]
    # For the first probe the other person is a wrong answer; the second has nobody left to be taken for.
    assert trials.other_scores.tolist() == [0.2]


def test_nobody_found_at_all() -> None:
    trials = run_trials(np.full((2, 2), -np.inf), np.array([0, 1]), np.arange(2), np.full(2, 50.0))
    assert rank1(trials) == dir_at_fpir(trials, 0.1) == 0.0


probes = st.lists(
    st.tuples(
        st.integers(-1, 3),
        st.one_of(st.none(), st.lists(st.integers(-9, 9), min_size=4, max_size=4, unique=True)),
    ),
    min_size=1,
    max_size=20,
)


def by_hand(drawn: list[tuple[int, list[int] | None]], fpir: float) -> tuple[float, float]:
    """Rank-1 and DIR, probe by probe, for the threshold found by trying every one from the top."""
    mated, others = [], []
    for owner, row in drawn:
        if owner >= 0:
            answer = None if row is None else max(range(4), key=row.__getitem__)
            mated.append((answer == owner, -np.inf if row is None else max(row)))
        if row is not None:
            others.append(max(value for person, value in enumerate(row) if person != owner))
    threshold = 20.0
    for candidate in np.arange(20, -20, -0.5):
        if sum(score >= candidate for score in others) > fpir * len(others) + 1e-9:
            break
        threshold = candidate
    right = [correct for correct, _ in mated]
    over = [correct and score >= threshold for correct, score in mated]
    return sum(right) / len(mated), sum(over) / len(mated)


@settings(max_examples=200, deadline=None)
@given(probes, st.floats(0, 1))
def test_equals_brute_force_rises_with_fpir_and_ignores_order(
    drawn: list[tuple[int, list[int] | None]], fpir: float
) -> None:
    drawn.append((0, [1, 0, -1, -2]))  # at least one mated trial

    def trials(order: np.ndarray, columns: np.ndarray) -> Trials:
        rows = np.array([[-np.inf] * 4 if row is None else row for _, row in drawn], float)
        owners = np.array([owner for owner, _ in drawn])
        moved = np.where(owners >= 0, np.argsort(columns)[owners], NON_MATED)
        return run_trials(rows[order][:, columns], moved[order], np.zeros(len(drawn), int), np.ones(len(drawn)))

    plain = trials(np.arange(len(drawn)), np.arange(4))
    expected = by_hand(drawn, fpir)
    assert (rank1(plain), dir_at_fpir(plain, fpir)) == pytest.approx(expected)
    assert false_positive_identification(plain, threshold_at_fpir(plain, fpir)) <= fpir + 1e-9
    rising = [dir_at_fpir(plain, rate) for rate in np.linspace(0, 1, 11)]
    assert rising == sorted(rising)
    rng = np.random.default_rng(len(drawn))
    shuffled = trials(rng.permutation(len(drawn)), rng.permutation(4))
    assert (rank1(shuffled), dir_at_fpir(shuffled, fpir)) == pytest.approx(expected)
