import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.evaluation.identification import (
    NON_MATED,
    Trials,
    dir_at_fpir,
    dir_at_threshold,
    fpir_at_threshold,
    identification_metrics,
    rank1,
    run_trials,
    threshold_at_fpir,
)

UNDETECTED = [-np.inf, -np.inf, -np.inf]


@pytest.fixture()
def worked() -> Trials:
    """Three enrolled people; five of their faces, one undetected; then an impostor and a false positive."""
    similarities = np.array(
        [
            [0.9, 0.3, 0.1],  # a, correct; best impostor match 0.3
            [0.5, 0.4, 0.1],  # a, correct; best impostor match 0.4
            [0.6, 0.2, 0.1],  # b, matched to a at 0.6
            UNDETECTED,  # b
            [0.1, 0.2, 0.7],  # c, correct; best impostor match 0.2
            [0.1, 0.55, 0.3],  # impostor: 0.55
            [0.05, 0.0, -0.1],  # false positive: 0.05
        ]
    )
    mates = np.array([0, 0, 1, 1, 2, NON_MATED, NON_MATED])
    sizes = np.array([100, 20, 100, 20, 100, 100, np.nan])
    return run_trials(similarities, mates, np.array([0, 0, 1, 1, 2, 3, 4]), sizes)


def test_worked_example(worked: Trials) -> None:
    assert worked.correct.tolist() == [True, True, False, False, True]
    assert worked.genuine_scores.tolist() == [0.9, 0.5, 0.2, -np.inf, 0.7]
    assert worked.non_mated_scores.tolist() == [0.6, 0.55, 0.4, 0.3, 0.2, 0.05]
    assert rank1(worked) == 3 / 5
    assert rank1(worked, min_size=48) == 2 / 3
    assert fpir_at_threshold(worked, 0.4) == 3 / 6
    assert dir_at_threshold(worked, 0.6) == 2 / 5
    # One of the six non-mated trials may pass.
    assert dir_at_fpir(worked, 1 / 6) == 2 / 5
    assert dir_at_fpir(worked, 0.1) == 2 / 5
    assert dir_at_fpir(worked, 0.5) == 3 / 5
    assert dir_at_fpir(worked, 1.0) == rank1(worked)


def test_metrics_with_person_weights(worked: Trials) -> None:
    weights = np.array([2.0, 0.0, 1.0, 1.0, 1.0])
    metrics = identification_metrics(worked, large_face_size=48, threshold=0.45, weights=weights)
    assert metrics == pytest.approx(
        {
            "rank1": 1.0,
            "rank1_large": 1.0,
            "dir_fpir1": 3 / 5,  # above .55: twice .9, and .7, but not twice .5
            "dir_fpir10": 3 / 5,
            "dir_calibrated": 1.0,
            "fpir_calibrated": 1 / 7,
        }
    )


def test_a_person_without_a_template_is_never_matched() -> None:
    similarities = np.array([[0.2, -np.inf], [0.9, -np.inf]])
    trials = run_trials(similarities, np.array([1, 0]), np.arange(2), np.full(2, 50.0))
    assert trials.correct.tolist() == [False, True]
    # The first probe matches the wrong person; the second has no impostor to match.
    assert trials.non_mated_scores.tolist() == [0.2]


def test_rates_without_detected_faces_are_zero() -> None:
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


def brute_force(drawn: list[tuple[int, list[int] | None]], fpir: float) -> tuple[float, float]:
    """Compute rank-1 and DIR probe by probe, at the threshold found by trying all from the top."""
    mated, non_mated = [], []
    for mate, row in drawn:
        if mate >= 0:
            answer = None if row is None else max(range(4), key=row.__getitem__)
            mated.append((answer == mate, -np.inf if row is None else max(row)))
        if row is not None:
            non_mated.append(max(value for person, value in enumerate(row) if person != mate))
    threshold = 20.0
    for candidate in np.arange(20, -20, -0.5):
        if sum(score >= candidate for score in non_mated) > fpir * len(non_mated) + 1e-9:
            break
        threshold = candidate
    rank1_hits = sum(correct for correct, _ in mated)
    dir_hits = sum(correct and score >= threshold for correct, score in mated)
    return rank1_hits / len(mated), dir_hits / len(mated)


@settings(max_examples=200, deadline=None)
@given(probes, st.floats(0, 1))
def test_trials_equal_brute_force_in_any_order_and_dir_rises_with_fpir(
    drawn: list[tuple[int, list[int] | None]], fpir: float
) -> None:
    drawn.append((0, [1, 0, -1, -2]))  # at least one mated trial

    def trials(order: np.ndarray, columns: np.ndarray) -> Trials:
        rows = np.array([[-np.inf] * 4 if row is None else row for _, row in drawn], float)
        mates = np.array([mate for mate, _ in drawn])
        permuted = np.where(mates >= 0, np.argsort(columns)[mates], NON_MATED)
        return run_trials(rows[order][:, columns], permuted[order], np.zeros(len(drawn), int), np.ones(len(drawn)))

    plain = trials(np.arange(len(drawn)), np.arange(4))
    expected = brute_force(drawn, fpir)
    assert (rank1(plain), dir_at_fpir(plain, fpir)) == pytest.approx(expected)
    assert fpir_at_threshold(plain, threshold_at_fpir(plain, fpir)) <= fpir + 1e-9
    rising = [dir_at_fpir(plain, rate) for rate in np.linspace(0, 1, 11)]
    assert rising == sorted(rising)
    rng = np.random.default_rng(len(drawn))
    shuffled = trials(rng.permutation(len(drawn)), rng.permutation(4))
    assert (rank1(shuffled), dir_at_fpir(shuffled, fpir)) == pytest.approx(expected)
