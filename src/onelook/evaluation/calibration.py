"""Thresholds that keep a rate of false accepts, and the one for "unknown" that travels with model and gallery."""

import math
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

from onelook.errors import DataError
from onelook.evaluation.identification import NON_MATED, Trials, threshold_at
from onelook.open_set import ImpostorModel, round_up
from onelook.settings import DetectSettings


def uncalibrated(target_fpir: float, fingerprint: str, detect: DetectSettings) -> dict[str, object]:
    """The contents of calibration.json where nobody has a name: no threshold, so that no gallery takes it over."""
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
    trials: Trials, unknown: ImpostorModel | None, *, target_fpir: float, fingerprint: str, detect: DetectSettings
) -> dict[str, Any]:
    """The contents of calibration.json: the lowest similarity at which a face gets a name.

    Set on the non-mated scores of people whom neither training nor the test has seen: at most `target_fpir` of them
    reach the threshold. It is rounded up to four decimals, so that what is shown is what is used and a rounding error
    in a similarity cannot matter. The rate holds for a gallery about as large as theirs; for one of any other size, the
    threshold is what `unknown` gives, where it could be fitted.

    Raises:
        DataError: there is no non-mated score, so nothing to set the threshold on.
    """
    if len(trials.other_scores) == 0:
        raise DataError(
            "the threshold for unknown faces cannot be set: of the validation people nobody was found, or only one is "
            "enrolled; train longer or prepare more people"
        )
    return {
        "threshold": round_up(threshold_at(trials.other_scores, target_fpir)),
        "unknown": None if unknown is None else unknown.model_dump(),
        "target_fpir": target_fpir,
        "fingerprint": fingerprint,
        "detect": detect.model_dump(mode="json"),
        "people": len(np.unique(trials.units)),
        "probes": len(trials.other_scores),
    }


TAIL = 0.1
"""The share of the comparisons, the most similar, that the normal law is fitted to."""
FEWEST = 100
"""Comparisons of strangers under which there is no tail to speak of."""


def fit_impostor_model(similarities: np.ndarray, owners: np.ndarray, trials: Trials) -> ImpostorModel | None:
    """Fit the tail and the confidence.

    Args:
        similarities: (n, p) of probes to people; minus infinity where there is none.
        owners: (n,) int64, each probe's own column, or STRANGER.
        trials: of the same probes.

    Returns:
        None where strangers were compared too rarely, or all are equally similar.
    """
    others = similarities.astype(np.float64)
    known = np.flatnonzero(owners != NON_MATED)
    others[known, owners[known]] = -np.inf
    scores = np.sort(others[np.isfinite(others)])[::-1]
    law = fit_impostor_tail(scores) if len(scores) >= FEWEST else None
    if law is None:
        return None
    tail = ImpostorModel(mean=law[0], deviation=law[1], intercept=0, slope=1)
    people = int(np.isfinite(similarities).any(axis=0).sum())
    # A non-mated trial was one against all the people but its own: a difference of one that is left out here.
    shown, right, weights = shown_trials(trials)
    intercept, slope = fit_confidence(-tail.expected(shown, people), right, weights)
    return tail.model_copy(update={"intercept": intercept, "slope": slope})


def shown_trials(trials: Trials) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best similarity, whether it is the right person's, and the weight of all trials of faces found: each (n,).

    Mated and non-mated trials weigh alike: as a confidence supposes, half of what is shown is of enrolled people.
    """
    found = np.isfinite(trials.scores)
    counts = int(found.sum()), len(trials.other_scores)
    right = np.concatenate([trials.correct[found], np.zeros(counts[1], bool)])
    weights = np.repeat([0.5 / max(count, 1) for count in counts], counts)
    return np.concatenate([trials.scores[found], trials.other_scores]), right, weights


def fit_impostor_tail(descending: np.ndarray) -> tuple[float, float] | None:
    """Mean and deviation of the normal law by its upper tail, of which alone the likelihood knows the values.

    The rest is known to be lower, no more (censored likelihood: Cohen, "Simplified estimators for the normal
    distribution when samples are singly censored", Technometrics 1, 1959): the middle of the similarities, which no
    threshold is near, need not be normal.

    Args:
        descending: (n,) float64, highest first.

    Returns:
        None where the tail has no spread.
    """
    count = math.ceil(TAIL * len(descending))
    tail, bar = descending[:count], descending[count]
    spread = float(tail.mean() - bar)
    if spread < 1e-6:
        return None
    below = (len(descending) - count) / count
    # The mean excess of a normal law over its upper tenth is about half a deviation; only where the search starts.
    start = np.array([bar - ndtri(1 - TAIL) * 2 * spread, math.log(2 * spread)])

    def loss(law: np.ndarray) -> float:
        deviation = math.exp(law[1])
        squares = ((tail - law[0]) ** 2).mean() / (2 * deviation**2)
        return float(squares + law[1] - below * log_ndtr((bar - law[0]) / deviation))

    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000}).x
    return round(float(found[0]), 6), round(max(math.exp(found[1]), 1e-6), 6)


def fit_confidence(evidence: np.ndarray, right: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Intercept and slope, not negative, of the log odds of being right over the evidence, of trials with weights (n,).

    The aims are drawn in a little from 0 and 1, as Platt does, so that the line stays finite where all are told apart.
    """
    positives, negatives = int(right.sum()), int((~right).sum())
    aims = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: np.ndarray) -> float:
        odds = line[0] + line[1] * evidence
        return float(np.average(np.logaddexp(0, odds) - aims * odds, weights=weights))

    found = minimize(loss, np.array([0.0, 1.0]), method="L-BFGS-B", bounds=[(None, None), (0, None)]).x
    return round(float(found[0]), 6), round(float(found[1]), 6)
