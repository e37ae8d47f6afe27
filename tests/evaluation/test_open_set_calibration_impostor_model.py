from functools import cache

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import CensoredData, binom, norm

from onelook.evaluation.identification import NON_MATED, Trials, run_trials
from onelook.evaluation.open_set_calibration import (
    TAIL_FRACTION,
    fit_impostor_model,
    fit_impostor_tail,
    fit_platt_scaling,
    pool_trials,
)
from onelook.open_set import ImpostorModel


def sample_people(count: int, rng: np.random.Generator) -> np.ndarray:
    rows = rng.normal(size=(count, 64))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sample_photos(people: np.ndarray, rng: np.random.Generator, noise: float = 0.09) -> np.ndarray:
    """Sample a nearby direction of each person."""
    rows = people + noise * rng.normal(size=people.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def search_gallery(gallery: np.ndarray, probes: np.ndarray, mates: np.ndarray) -> tuple[np.ndarray, Trials]:
    similarities = probes @ gallery.T
    return similarities, run_trials(similarities, mates, np.arange(len(probes)), np.ones(len(probes)))


@cache
def fitted_model() -> ImpostorModel:
    """Fit to 200 enrolled people and 200 impostors."""
    rng = np.random.default_rng(0)
    gallery = sample_people(200, rng)
    probes = np.concatenate([sample_photos(gallery, rng), sample_people(200, rng)])
    mates = np.repeat([0, NON_MATED], 200)
    mates[:200] = np.arange(200)
    similarities, trials = search_gallery(gallery, probes, mates)
    model = fit_impostor_model(similarities, mates, trials)
    assert model is not None
    return model


@pytest.mark.parametrize("size", [20, 200, 2000])
def test_the_target_fpir_holds_for_galleries_of_any_size(size: int) -> None:
    model = fitted_model()
    rng = np.random.default_rng(size)
    gallery, impostors = sample_people(size, rng), sample_people(3000, rng)
    best = (impostors @ gallery.T).max(axis=1)
    for target in (0.01, 0.1):
        false_positives = int((best >= model.threshold(target, size)).sum())
        # The tail of the cosine ends at 1 and is lighter than a normal one: the FPIR is at most the target, and at
        # ten times the gallery size of the fit at least half of it.
        assert false_positives <= binom.ppf(0.999, 3000, target)
        assert false_positives >= binom.ppf(0.001, 3000, target / 2)


@pytest.mark.parametrize("size", [20, 200, 2000])
def test_matches_are_correct_as_often_as_their_confidence(size: int) -> None:
    model = fitted_model()
    rng = np.random.default_rng([size, 1])
    gallery = sample_people(size, rng)
    mated = sample_photos(gallery[rng.integers(size, size=2000)], rng)
    mates = np.r_[(mated @ gallery.T).argmax(axis=1), np.full(2000, NON_MATED)]
    _, trials = search_gallery(gallery, np.concatenate([mated, sample_people(2000, rng)]), mates)
    scores, is_correct, weights = pool_trials(trials)
    confidence = model.confidence(scores, size)
    assert abs(np.average(confidence - is_correct, weights=weights)) < 0.03
    is_confident = confidence > 0.9
    assert np.average(is_correct[is_confident], weights=weights[is_confident]) > 0.9


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.1), (0.3, 0.02), (-0.5, 0.25)])
def test_the_tail_equals_scipys_censored_normal_fit(mean: float, std: float) -> None:
    scores = np.sort(np.random.default_rng(3).normal(mean, std, 2000))[::-1]
    count = int(TAIL_FRACTION * len(scores))
    censored = CensoredData(uncensored=scores[:count], left=np.full(len(scores) - count, scores[count]))
    fit = fit_impostor_tail(scores)
    assert fit is not None
    np.testing.assert_allclose(fit, norm.fit(censored), atol=2e-3 * std + 1e-6)
    assert fit[0] == pytest.approx(mean, abs=0.3 * std)
    assert fit[1] == pytest.approx(std, rel=0.15)


def test_similarities_below_the_tail_do_not_change_the_fit() -> None:
    scores = np.sort(np.random.default_rng(4).normal(0, 0.1, 1000))[::-1]
    lowered = scores.copy()
    lowered[101:] -= 0.3
    assert fit_impostor_tail(lowered) == fit_impostor_tail(scores)


def test_platt_scaling_has_the_highest_likelihood() -> None:
    rng = np.random.default_rng(5)
    evidence = rng.normal(0, 3, 400)
    is_correct = rng.random(400) < expit(1 + 0.7 * evidence)
    weights = rng.uniform(0.5, 2, 400)
    intercept, slope = fit_platt_scaling(evidence, is_correct, weights)
    positives = is_correct.sum()
    targets = np.where(is_correct, (positives + 1) / (positives + 2), 1 / (len(is_correct) - positives + 2))
    gradient = weights * (expit(intercept + slope * evidence) - targets) / weights.sum()
    np.testing.assert_allclose([gradient.sum(), gradient @ evidence], 0, atol=1e-4)


def test_platt_scaling_of_separable_trials_is_finite_and_never_falls() -> None:
    evidence, is_correct = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    intercept, slope = fit_platt_scaling(evidence, is_correct, np.ones(4))
    assert abs(intercept) < 1e-3
    assert 0.5 < slope < 10
    assert fit_platt_scaling(evidence, ~is_correct, np.ones(4))[1] == 0


def test_pooled_mated_and_non_mated_trials_have_equal_weight_without_undetected_faces() -> None:
    similarities = np.array([[0.5, 0.2], [-np.inf, -np.inf], [0.1, 0.3], [0.4, 0.35]])
    trials = run_trials(similarities, np.array([0, 1, NON_MATED, NON_MATED]), np.arange(4), np.ones(4))
    scores, is_correct, weights = pool_trials(trials)
    np.testing.assert_array_equal(scores, [0.5, 0.4, 0.3, 0.2])
    np.testing.assert_array_equal(is_correct, [True, False, False, False])
    np.testing.assert_allclose(weights, [0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3])


def test_no_tail_is_fitted_to_few_or_equal_similarities() -> None:
    for similarities in (np.zeros((30, 3)), np.full((200, 3), 0.4)):
        mates = np.full(len(similarities), NON_MATED)
        trials = run_trials(similarities, mates, np.arange(len(mates)), np.ones(len(mates)))
        assert fit_impostor_model(similarities, mates, trials) is None
