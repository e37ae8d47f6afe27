"""Calibration of the open-set threshold and of the confidence of a match, and the reliability diagram.

- The threshold is set on the non-mated trials of the validation people.
- The impostor tail is a censored normal fit (Cohen, "Simplified estimators for the normal distribution when samples are
  singly censored", Technometrics 1, 1959); it gives the threshold for a gallery of any size.
- The confidence is Platt scaling (Platt, "Probabilistic outputs for support vector machines", 1999).
- Reliability diagram and expected calibration error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
  section 2. Intervals: Wilson, "Probable inference", 1927.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

from onelook.errors import DataError
from onelook.evaluation.identification import NON_MATED, Trials, threshold_at_fpir
from onelook.open_set import ImpostorModel, round_up
from onelook.settings import DetectSettings

TAIL_FRACTION = 0.1
"""Fraction of the impostor similarities, the highest ones, that the normal tail is fitted to."""
MIN_COMPARISONS = 100
"""Number of impostor similarities below which no tail is fitted."""


def make_null_calibration(target_fpir: float, fingerprint: str, detect: DetectSettings) -> dict[str, object]:
    """Return the content of calibration.json for scenes without identities.

    The threshold is null, so that no gallery can be created with it.
    """
    return {
        "threshold": None,
        "unknown": None,
        "target_fpir": target_fpir,
        "fingerprint": fingerprint,
        "detect": detect.model_dump(mode="json"),
        "people": 0,
        "probes": 0,
    }


def calibrate(
    trials: Trials,
    impostor_model: ImpostorModel | None,
    *,
    target_fpir: float,
    fingerprint: str,
    detect: DetectSettings,
) -> dict[str, Any]:
    """Set the identification threshold and return the content of calibration.json.

    At most `target_fpir` of the non-mated trials reach the threshold. It is rounded up to four decimals: the printed
    value is the value in use, and float rounding of a similarity does not matter. The rate holds for a gallery of about
    the same size; for other sizes the threshold comes from the impostor model, where there is one.

    Args:
        trials: of the validation people, who are neither in the training nor in the test split.
        impostor_model: fitted to the same trials; None where it could not be fitted.
        target_fpir: highest false-positive identification rate.
        fingerprint: of the model.
        detect: detection settings of the trials.

    Raises:
        DataError: there is no non-mated trial.
    """
    if len(trials.non_mated_scores) == 0:
        raise DataError(
            "the threshold for unknown faces cannot be set: no face of the validation people was detected, or only one "
            "person is enrolled; train longer or prepare more people"
        )
    return {
        "threshold": round_up(threshold_at_fpir(trials, target_fpir)),
        "unknown": None if impostor_model is None else impostor_model.model_dump(),
        "target_fpir": target_fpir,
        "fingerprint": fingerprint,
        "detect": detect.model_dump(mode="json"),
        "people": len(np.unique(trials.units)),
        "probes": len(trials.non_mated_scores),
    }


def fit_impostor_model(similarities: np.ndarray, mates: np.ndarray, trials: Trials) -> ImpostorModel | None:
    """Fit the impostor tail and the confidence.

    Args:
        similarities: (n, p) of probes to people; minus infinity where undefined.
        mates: (n,) int64, column of each probe's own person, or NON_MATED.
        trials: of the same probes.

    Returns:
        None with fewer than MIN_COMPARISONS impostor similarities, or where they are all equal.
    """
    impostor_similarities = similarities.astype(np.float64)
    mated = np.flatnonzero(mates != NON_MATED)
    impostor_similarities[mated, mates[mated]] = -np.inf
    scores = np.sort(impostor_similarities[np.isfinite(impostor_similarities)])[::-1]
    parameters = fit_impostor_tail(scores) if len(scores) >= MIN_COMPARISONS else None
    if parameters is None:
        return None
    tail = ImpostorModel(mean=parameters[0], std=parameters[1], intercept=0, slope=1)
    # A non-mated trial of an enrolled person searches one person less; this difference is neglected.
    people = int(np.isfinite(similarities).any(axis=0).sum())
    pooled_scores, is_correct, weights = pool_trials(trials)
    intercept, slope = fit_platt_scaling(-tail.log_expected_impostors(pooled_scores, people), is_correct, weights)
    return tail.model_copy(update={"intercept": intercept, "slope": slope})


def pool_trials(trials: Trials) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pool the mated and non-mated trials of detected faces.

    Mated and non-mated trials have the same total weight: a confidence assumes that half of the probes are enrolled.

    Returns:
        Similarity of the best match, bool where it is the right person, and weight: each (n,).
    """
    is_detected = np.isfinite(trials.scores)
    counts = int(is_detected.sum()), len(trials.non_mated_scores)
    is_correct = np.concatenate([trials.correct[is_detected], np.zeros(counts[1], bool)])
    weights = np.repeat([0.5 / max(count, 1) for count in counts], counts)
    return np.concatenate([trials.scores[is_detected], trials.non_mated_scores]), is_correct, weights


def fit_impostor_tail(descending: np.ndarray) -> tuple[float, float] | None:
    """Fit a normal distribution to the upper tail by censored maximum likelihood.

    Only the values of the upper tail enter the likelihood; of all others, only that they are lower. The middle of the
    similarities, which no threshold comes near, need not be normal.

    Args:
        descending: (n,) float64 impostor similarities, highest first.

    Returns:
        Mean and standard deviation; None where the tail has no spread.
    """
    count = math.ceil(TAIL_FRACTION * len(descending))
    tail, limit = descending[:count], descending[count]
    excess = float(tail.mean() - limit)
    if excess < 1e-6:
        return None
    censored = (len(descending) - count) / count
    # Start: the mean excess of a normal distribution over its upper tenth is about half a standard deviation.
    start = np.array([limit - ndtri(1 - TAIL_FRACTION) * 2 * excess, math.log(2 * excess)])

    def loss(parameters: np.ndarray) -> float:
        std = math.exp(parameters[1])
        squares = ((tail - parameters[0]) ** 2).mean() / (2 * std**2)
        return float(squares + parameters[1] - censored * log_ndtr((limit - parameters[0]) / std))

    fit = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000}).x
    return round(float(fit[0]), 6), round(max(math.exp(fit[1]), 1e-6), 6)


def fit_platt_scaling(evidence: np.ndarray, is_correct: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Fit intercept and non-negative slope of the log odds of a correct match.

    The targets lie slightly inside 0 and 1, as Platt proposes, so that the slope is finite for separable trials.

    Args:
        evidence, is_correct, weights: (n,) one entry per trial.
    """
    positives, negatives = int(is_correct.sum()), int((~is_correct).sum())
    targets = np.where(is_correct, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: np.ndarray) -> float:
        log_odds = line[0] + line[1] * evidence
        return float(np.average(np.logaddexp(0, log_odds) - targets * log_odds, weights=weights))

    fit = minimize(loss, np.array([0.0, 1.0]), method="L-BFGS-B", bounds=[(None, None), (0, None)]).x
    return round(float(fit[0]), 6), round(float(fit[1]), 6)


BINS = 10
_Z = 1.959964  # of 95 %


@dataclass(frozen=True, eq=False)
class ReliabilityDiagram:
    """Matches in confidence bins of equal width; empty bins are left out.

    Attributes:
        confidence: (k,) float64, mean confidence of each bin.
        accuracy: (k,) float64, weighted fraction of correct matches.
        low, high: (k,) float64, 95 % Wilson interval of the accuracy.
        weight: (k,) float64, fraction of the total weight in the bin.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray

    def expected_calibration_error(self) -> float:
        """Compute the expected calibration error (ECE): mean |confidence - accuracy|."""
        return float(self.weight @ np.abs(self.confidence - self.accuracy))


def bin_by_confidence(confidence: np.ndarray, is_correct: np.ndarray, weights: np.ndarray) -> ReliabilityDiagram:
    """Bin matches by confidence, for a reliability diagram.

    The interval of a bin uses Kish's effective sample size of its weights.

    Args:
        confidence, is_correct, weights: (n,) one entry per match.
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    totals = np.bincount(bins, weights, BINS)
    is_filled = totals > 0
    totals = totals[is_filled]
    mean, accuracy = (
        np.bincount(bins, weights * values, BINS)[is_filled] / totals for values in (confidence, is_correct)
    )
    low, high = wilson_interval(accuracy, totals**2 / np.bincount(bins, weights**2, BINS)[is_filled])
    return ReliabilityDiagram(mean, accuracy, low, high, totals / totals.sum())


def wilson_interval(fraction: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95 % Wilson interval of fractions (n,) of `count` (n,) trials each."""
    center = (fraction + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half_width = _Z / (1 + _Z**2 / count) * np.sqrt(fraction * (1 - fraction) / count + _Z**2 / (4 * count**2))
    return np.minimum(center - half_width, fraction), np.maximum(center + half_width, fraction)
