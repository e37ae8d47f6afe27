"""The tail of strangers' similarities and the confidence, fitted."""

from functools import cache

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import CensoredData, binom, norm

from onelook.evaluation.calibration import TAIL, fit_confidence, fit_impostor_model, fit_impostor_tail, shown_trials
from onelook.evaluation.identification import NON_MATED, Trials, run_trials
from onelook.open_set import ImpostorModel


def people(count: int, rng: np.random.Generator) -> np.ndarray:
    rows = rng.normal(size=(count, 64))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def photos(of: np.ndarray, rng: np.random.Generator, blur: float = 0.09) -> np.ndarray:
    """Another photo of everyone: a direction nearby."""
    rows = of + blur * rng.normal(size=of.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def trials_of(gallery: np.ndarray, probes: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, Trials]:
    similarities = probes @ gallery.T
    return similarities, run_trials(similarities, owners, np.arange(len(probes)), np.ones(len(probes)))


@cache
def fitted() -> ImpostorModel:
    """On 200 people and as many strangers."""
    rng = np.random.default_rng(0)
    gallery = people(200, rng)
    probes = np.concatenate([photos(gallery, rng), people(200, rng)])
    owners = np.repeat([0, NON_MATED], 200)
    owners[:200] = np.arange(200)
    similarities, trials = trials_of(gallery, probes, owners)
    unknown = fit_impostor_model(similarities, owners, trials)
    assert unknown is not None
    return unknown


@pytest.mark.parametrize("size", [20, 200, 2000])
def test_the_promised_rate_is_kept_whatever_the_size(size: int) -> None:
    unknown = fitted()
    rng = np.random.default_rng(size)
    gallery, strangers = people(size, rng), people(3000, rng)
    best = (strangers @ gallery.T).max(axis=1)
    for target in (0.01, 0.1):
        named = int((best >= unknown.threshold(target, size)).sum())
        # The cosine's own tail ends at 1 and is a little lighter than a normal one: never more than promised, and at
        # ten times the size of the fit still no less than half.
        assert named <= binom.ppf(0.999, 3000, target)
        assert named >= binom.ppf(0.001, 3000, target / 2)


@pytest.mark.parametrize("size", [20, 200, 2000])
def test_names_are_right_as_often_as_their_confidence_says(size: int) -> None:
    unknown = fitted()
    rng = np.random.default_rng([size, 1])
    gallery = people(size, rng)
    mine = photos(gallery[rng.integers(size, size=2000)], rng)
    owners = np.r_[(mine @ gallery.T).argmax(axis=1), np.full(2000, NON_MATED)]
    _, trials = trials_of(gallery, np.concatenate([mine, people(2000, rng)]), owners)
    scores, right, weights = shown_trials(trials)
    sure = unknown.confidence(scores, size)
    assert abs(np.average(sure - right, weights=weights)) < 0.03
    surest = sure > 0.9
    assert np.average(right[surest], weights=weights[surest]) > 0.9


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.1), (0.3, 0.02), (-0.5, 0.25)])
def test_the_tail_is_scipys_fit_of_a_censored_normal_law(mean: float, deviation: float) -> None:
    scores = np.sort(np.random.default_rng(3).normal(mean, deviation, 2000))[::-1]
    count = int(TAIL * len(scores))
    censored = CensoredData(uncensored=scores[:count], left=np.full(len(scores) - count, scores[count]))
    found = fit_impostor_tail(scores)
    assert found is not None
    np.testing.assert_allclose(found, norm.fit(censored), atol=2e-3 * deviation + 1e-6)
    assert found[0] == pytest.approx(mean, abs=0.3 * deviation)
    assert found[1] == pytest.approx(deviation, rel=0.15)


def test_what_lies_below_the_tail_does_not_matter() -> None:
    scores = np.sort(np.random.default_rng(4).normal(0, 0.1, 1000))[::-1]
    bent = scores.copy()
    bent[101:] -= 0.3
    assert fit_impostor_tail(bent) == fit_impostor_tail(scores)


def test_the_line_is_where_its_likelihood_is_highest() -> None:
    rng = np.random.default_rng(5)
    evidence = rng.normal(0, 3, 400)
    right = rng.random(400) < expit(1 + 0.7 * evidence)
    weights = rng.uniform(0.5, 2, 400)
    intercept, slope = fit_confidence(evidence, right, weights)
    aims = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))
    slack = weights * (expit(intercept + slope * evidence) - aims) / weights.sum()
    np.testing.assert_allclose([slack.sum(), slack @ evidence], 0, atol=1e-4)


def test_all_told_apart_is_a_line_all_the_same_and_never_one_that_falls() -> None:
    evidence, right = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    intercept, slope = fit_confidence(evidence, right, np.ones(4))
    assert abs(intercept) < 1e-3
    assert 0.5 < slope < 10
    assert fit_confidence(evidence, ~right, np.ones(4))[1] == 0


def test_mated_and_other_trials_weigh_alike_and_faces_not_found_do_not_count() -> None:
    similarities = np.array([[0.5, 0.2], [-np.inf, -np.inf], [0.1, 0.3], [0.4, 0.35]])
    trials = run_trials(similarities, np.array([0, 1, NON_MATED, NON_MATED]), np.arange(4), np.ones(4))
    scores, right, weights = shown_trials(trials)
    np.testing.assert_array_equal(scores, [0.5, 0.4, 0.3, 0.2])
    np.testing.assert_array_equal(right, [True, False, False, False])
    np.testing.assert_allclose(weights, [0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3])


def test_too_few_strangers_or_all_alike_are_no_tail() -> None:
    for similarities in (np.zeros((30, 3)), np.full((200, 3), 0.4)):
        owners = np.full(len(similarities), NON_MATED)
        trials = run_trials(similarities, owners, np.arange(len(owners)), np.ones(len(owners)))
        assert fit_impostor_model(similarities, owners, trials) is None
