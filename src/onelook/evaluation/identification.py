"""Open-set identification, end to end from full photos.

Terms and figures follow ISO/IEC 19795-1 and Grother et al., "Face Recognition Vendor Test, Part 2: Identification"
(NIST IR 8271), section 3. Conventions where protocols differ:

- Jackknife: every face is tried twice. Mated: against the gallery with everyone. Non-mated: against the gallery without
  its own person, so that it plays a stranger; its best score there counts.
- People without enrollment photos are strangers: non-mated only. So are false alarms, detections on no face.
- End to end: a face that was not found is a mated trial nobody answers, a miss in every figure. It is no
  non-mated trial, since nothing was shown that could get a wrong name: FPIR is a share of what was shown.
- A person enrolled in no photo because no face was found in any is a miss in all mated trials.
- A score passes a threshold that it reaches.
"""

from dataclasses import dataclass

import numpy as np

_LOWEST = float(np.finfo(np.float64).min)


def threshold_at(descending: np.ndarray, rate: float, weights: np.ndarray | None = None) -> float:
    """The lowest threshold that at most a share `rate` of the scores reaches.

    Args:
        descending: (n,) float64, highest first.
        rate: in 0..1.
        weights: (n,) how often each score counts, once by default.

    Returns:
        The number next above the highest score that must not pass; where all may, the lowest finite number: the score
        minus infinity, of a face that was not found, passes no threshold.
    """
    passed = np.cumsum(np.ones(len(descending)) if weights is None else weights)
    total = passed[-1] if len(passed) else 0.0
    # The small term forgives rounding: 29 % of 100 scores are 29 scores, not 28.
    refused = int(np.searchsorted(passed, rate * total + 1e-9, side="right"))
    return float(np.nextafter(descending[refused], np.inf)) if refused < len(descending) else _LOWEST


def share_at(descending: np.ndarray, threshold: float, weights: np.ndarray | None = None) -> float:
    """The share of the scores (n,), highest first, that reaches the threshold; NaN where nothing counts."""
    passing = int(np.searchsorted(-descending, -threshold, side="right"))
    if weights is None:
        return passing / len(descending) if len(descending) else float("nan")
    total = float(weights.sum())
    return float(weights[:passing].sum()) / total if total > 0 else float("nan")


NON_MATED = -1
"""Owner of a probe that nobody in the gallery owns."""


@dataclass(frozen=True, eq=False)
class Trials:
    """The outcomes of all identification trials.

    Attributes:
        rows: (m,) int64, the probe of each mated trial.
        units: (m,) int64, the unit (person) of each mated trial, for resampling.
        correct: (m,) bool, the most similar person is the right one.
        scores: (m,) float64, the highest similarity; minus infinity for a face not found.
        genuine: (m,) float64, the similarity to the right person; minus infinity for a face not found.
        sizes: (m,) float64, the face's size in pixels.
        other_scores: (k,) float64, the highest similarity of each non-mated trial, highest first.
        other_units: (k,) int64, their units.
    """

    rows: np.ndarray
    units: np.ndarray
    correct: np.ndarray
    scores: np.ndarray
    genuine: np.ndarray
    sizes: np.ndarray
    other_scores: np.ndarray
    other_units: np.ndarray


def run_trials(similarities: np.ndarray, owners: np.ndarray, units: np.ndarray, sizes: np.ndarray) -> Trials:
    """Try every probe against the gallery.

    Args:
        similarities: (n, p) of probes to people; minus infinity in the rows of faces not found and in the columns of
            people nothing was enrolled of.
        owners: (n,) int64, each probe's own column, or STRANGER.
        units: (n,) int64, what is resampled together.
        sizes: (n,) of the faces, in pixels; anything where the owner is STRANGER.
    """
    similarities = similarities.astype(np.float64)
    rows = np.flatnonzero(owners != NON_MATED)
    genuine = similarities[rows, owners[rows]]
    best = similarities[rows].max(1, initial=-np.inf)
    answers = similarities[rows].argmax(1) if similarities.shape[1] else np.zeros(0, np.int64)
    others = similarities.copy()
    others[rows, owners[rows]] = -np.inf
    other_best = others.max(1, initial=-np.inf)
    shown = np.flatnonzero(np.isfinite(other_best))
    shown = shown[np.argsort(-other_best[shown], kind="stable")]
    return Trials(
        rows=rows,
        units=units[rows],
        correct=(answers == owners[rows]) & np.isfinite(genuine),
        scores=best,
        genuine=genuine,
        sizes=sizes[rows],
        other_scores=other_best[shown],
        other_units=units[shown],
    )


def rank1(trials: Trials, weights: np.ndarray | None = None, smallest: float = 0.0) -> float:
    """The share of mated trials whose most similar person is the right one, at any similarity (closed set).

    Args:
        trials: of one split.
        weights: (units,) how often each unit counts, once by default.
        smallest: faces smaller than this, in pixels, are left out.

    Returns:
        NaN where no trial counts.
    """
    counted = _weights(trials.units, weights) * (trials.sizes >= smallest)
    return _share(trials.correct, counted)


def detection_and_identification(trials: Trials, threshold: float, weights: np.ndarray | None = None) -> float:
    """DIR: the share of mated trials that are right at rank 1 and reach the threshold; `weights` as in `rank1`."""
    return _share(trials.correct & (trials.scores >= threshold), _weights(trials.units, weights))


def false_positive_identification(trials: Trials, threshold: float, weights: np.ndarray | None = None) -> float:
    """FPIR: the share of non-mated trials that reach the threshold; `weights` as in `rank1`."""
    return share_at(trials.other_scores, threshold, _weights(trials.other_units, weights))


def threshold_at_fpir(trials: Trials, fpir: float, weights: np.ndarray | None = None) -> float:
    """The lowest threshold whose FPIR is at most `fpir`: one that all pass without non-mated trials."""
    return threshold_at(trials.other_scores, fpir, _weights(trials.other_units, weights))


def dir_at_fpir(trials: Trials, fpir: float, weights: np.ndarray | None = None) -> float:
    """DIR at the lowest threshold whose FPIR, over the same split's non-mated trials, is at most `fpir`."""
    return detection_and_identification(trials, threshold_at_fpir(trials, fpir, weights), weights)


def identification_figures(
    trials: Trials, *, large: float, threshold: float, weights: np.ndarray | None = None
) -> dict[str, float]:
    """The headline figures.

    Args:
        trials: of one split.
        large: face size from which `rank1_large` counts, in pixels.
        threshold: the calibrated one, set on other people, for `dir_calibrated` and `fpir_calibrated`.
        weights: (units,) how often each unit counts, once by default.
    """
    return {
        "rank1": rank1(trials, weights),
        "rank1_large": rank1(trials, weights, smallest=large),
        "dir_fpir1": dir_at_fpir(trials, 0.01, weights),
        "dir_fpir10": dir_at_fpir(trials, 0.1, weights),
        "dir_calibrated": detection_and_identification(trials, threshold, weights),
        "fpir_calibrated": false_positive_identification(trials, threshold, weights),
    }


def _weights(units: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.ones(len(units)) if weights is None else weights[units]


def _share(true: np.ndarray, weights: np.ndarray) -> float:
    total = float(weights.sum())
    return float(weights @ true) / total if total > 0 else float("nan")
