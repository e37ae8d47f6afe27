from itertools import combinations

import numpy as np
import pytest

from onelook.evaluation import verification
from onelook.evaluation.verification import VerificationPairs, score_pairs, verification_metrics


def unit_rows(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_score_pairs_equals_enumeration() -> None:
    embeddings = unit_rows(30)
    embeddings[[3, 17]] = np.nan
    people, sources = np.arange(30) % 5, np.arange(30) // 2 % 8
    pairs = score_pairs(embeddings, people, sources, seed=0)
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
    assert pairs.genuine_people[finite].tolist() == [person for score, person in genuine if np.isfinite(score)]
    assert [frozenset(both) for both in pairs.impostor_people.tolist()] == [both for _, both in impostors]


@pytest.fixture()
def worked() -> VerificationPairs:
    return VerificationPairs(
        genuine_scores=np.array([0.9, 0.8, 0.4, -np.inf]),
        genuine_people=np.array([0, 1, 0, 1]),
        impostor_scores=np.array([0.6, 0.3, 0.2, 0.1]),
        impostor_people=np.array([[0, 1], [0, 2], [1, 2], [0, 2]]),
    )


def test_worked_example(worked: VerificationPairs) -> None:
    assert worked.true_accept_rate(0.4) == 3 / 4
    assert worked.false_accept_rate(0.4) == 1 / 4
    assert worked.accuracy(0.4) == 3 / 4
    assert worked.best_threshold() == pytest.approx(0.35)  # .4 and .8 are equally good: the midpoint below .4
    assert worked.tar_at_far(0.25) == 3 / 4
    assert worked.tar_at_far(1.0) == 3 / 4  # an undetected face is never accepted
    assert verification_metrics(worked, 0.4) == {"accuracy": 3 / 4, "tar_far1": 2 / 4}


def test_person_weights_multiply_their_pairs(worked: VerificationPairs) -> None:
    weights = np.array([2.0, 1.0, 1.0])
    assert worked.true_accept_rate(0.5, weights) == 3 / 6
    assert worked.false_accept_rate(0.25, weights) == 4 / 7
    assert worked.false_accept_rate(0.25, np.array([1.0, 1.0, 0.0])) == 1.0


def test_tar_at_far_is_nan_without_impostor_pairs(worked: VerificationPairs) -> None:
    one_person = np.array([3.0, 0.0, 0.0])
    assert np.isnan(worked.tar_at_far(0.01, one_person))
    assert np.isnan(worked.accuracy(0.5, one_person))
    assert worked.true_accept_rate(0.5, one_person) == 1 / 2


def test_random_embeddings_have_chance_accuracy() -> None:
    people = np.arange(200) % 10
    pairs = score_pairs(unit_rows(200), people, np.arange(200), seed=0)
    assert pairs.tar_at_far(0.1) == pytest.approx(0.1, abs=0.03)
    assert pairs.accuracy(0.0) == pytest.approx(0.5, abs=0.03)


def test_sampled_impostor_pairs_give_the_same_far(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    people = np.arange(300) % 10
    embeddings = unit_rows(10)[people] + rng.normal(0, 0.2, (300, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    full = score_pairs(embeddings, people, np.arange(300), seed=0)
    monkeypatch.setattr(verification, "MAX_IMPOSTOR_PAIRS", 20_000)
    sampled = score_pairs(embeddings, people, np.arange(300), seed=0)
    assert len(sampled.impostor_scores) < 20_000 < len(full.impostor_scores)
    np.testing.assert_array_equal(sampled.genuine_scores, full.genuine_scores)
    for threshold in (0.0, 0.3, 0.6):
        expected = full.false_accept_rate(threshold)
        assert sampled.false_accept_rate(threshold) == pytest.approx(expected, abs=0.01)
