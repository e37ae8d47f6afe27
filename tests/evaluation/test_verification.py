"""Verification pairs against enumeration by hand."""

from itertools import combinations

import numpy as np
import pytest

from onelook.evaluation import verification
from onelook.evaluation.verification import Pairs, make_pairs, verification_figures


def unit_rows(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_every_pair_of_different_photos_once_and_missed_faces_refused() -> None:
    embeddings = unit_rows(30)
    embeddings[[3, 17]] = np.nan
    people, sources = np.arange(30) % 5, np.arange(30) // 2 % 8
    pairs = make_pairs(embeddings, people, sources, seed=0)
    genuine, impostors = [], []
    for a, b in combinations(range(30), 2):
        score = float(embeddings[a] @ embeddings[b])
        if sources[a] == sources[b]:
            continue
        if people[a] == people[b]:
            genuine.append((-np.inf if np.isnan(score) else score, people[a]))
        elif not np.isnan(score):
            impostors.append((score, frozenset((people[a], people[b]))))
    genuine.sort(key=lambda pair: -pair[0])
    impostors.sort(key=lambda pair: -pair[0])
    np.testing.assert_allclose(pairs.genuine_scores, [score for score, _ in genuine], atol=1e-6)
    np.testing.assert_allclose(pairs.impostor_scores, [score for score, _ in impostors], atol=1e-6)
    finite = np.isfinite(pairs.genuine_scores)
    assert pairs.genuine_people[finite].tolist() == [owner for score, owner in genuine if np.isfinite(score)]
    assert [frozenset(both) for both in pairs.impostor_people.tolist()] == [both for _, both in impostors]


@pytest.fixture()
def worked() -> Pairs:
    return Pairs(
        genuine_scores=np.array([0.9, 0.8, 0.4, -np.inf]),
        genuine_people=np.array([0, 1, 0, 1]),
        impostor_scores=np.array([0.6, 0.3, 0.2, 0.1]),
        impostor_people=np.array([[0, 1], [0, 2], [1, 2], [0, 2]]),
    )


def test_worked_example(worked: Pairs) -> None:
    assert worked.true_accept_rate(0.4) == 3 / 4
    assert worked.false_accept_rate(0.4) == 1 / 4
    assert worked.accuracy(0.4) == 3 / 4
    assert worked.best_threshold() == 0.4  # .8 gives (2/4 + 4/4) / 2 as well: the first best one is taken
    assert worked.tar_at_far(0.25) == 3 / 4
    assert worked.tar_at_far(1.0) == 3 / 4  # the missed face is never accepted
    assert verification_figures(worked, 0.4) == {"accuracy": 3 / 4, "tar_far1": 2 / 4}


def test_a_person_counted_twice_doubles_their_pairs(worked: Pairs) -> None:
    weights = np.array([2.0, 1.0, 1.0])
    assert worked.true_accept_rate(0.5, weights) == 3 / 6
    assert worked.false_accept_rate(0.25, weights) == 4 / 7
    assert worked.false_accept_rate(0.25, np.array([1.0, 1.0, 0.0])) == 1.0


def test_without_impostors_there_is_no_rate_to_keep(worked: Pairs) -> None:
    alone = np.array([3.0, 0.0, 0.0])
    assert np.isnan(worked.tar_at_far(0.01, alone))
    assert np.isnan(worked.accuracy(0.5, alone))
    assert worked.true_accept_rate(0.5, alone) == 1 / 2


def test_unrelated_embeddings_are_right_half_the_time() -> None:
    people = np.arange(200) % 10
    pairs = make_pairs(unit_rows(200), people, np.arange(200), seed=0)
    assert pairs.tar_at_far(0.1) == pytest.approx(0.1, abs=0.03)
    assert pairs.accuracy(0.0) == pytest.approx(0.5, abs=0.03)


def test_of_very_many_impostors_a_draw_gives_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    people = np.arange(300) % 10
    embeddings = unit_rows(10)[people] + rng.normal(0, 0.2, (300, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    every = make_pairs(embeddings, people, np.arange(300), seed=0)
    monkeypatch.setattr(verification, "MOST_IMPOSTORS", 20_000)
    drawn = make_pairs(embeddings, people, np.arange(300), seed=0)
    assert len(drawn.impostor_scores) < 20_000 < len(every.impostor_scores)
    np.testing.assert_array_equal(drawn.genuine_scores, every.genuine_scores)
    for threshold in (0.0, 0.3, 0.6):
        expected = every.false_accept_rate(threshold)
        assert drawn.false_accept_rate(threshold) == pytest.approx(expected, abs=0.01)
