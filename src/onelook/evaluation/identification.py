"""Open-set identification, end to end from the full image: rank-1, DIR and FPIR.

Terms and metrics follow ISO/IEC 19795-1 and Grother et al., "Face Recognition Vendor Test, Part 2: Identification"
(NIST IR 8271), section 3. Conventions where protocols differ:

- Jackknife: every probe has two trials. The mated trial searches the gallery with everyone. The non-mated trial
  searches the gallery without the probe's own person; its best score counts.
- Probes of people without enrollment photos, and false positives of the detector, have non-mated trials only.
- An undetected face is a failed mated trial in all metrics. It has no non-mated trial, because nothing was shown that
  could match: FPIR is a fraction of the shown faces.
- All mated trials of a person fail where no face was detected in any enrollment photo.
- A score equal to the threshold passes.
"""

from dataclasses import dataclass

import numpy as np

from onelook.evaluation.verification import rate_at_threshold, threshold_at_rate

NON_MATED = -1
"""Mate of a probe whose person is not in the gallery."""


@dataclass(frozen=True, eq=False)
class Trials:
    """The outcomes of the mated and non-mated identification trials of one split.

    Attributes:
        probe_rows: (m,) int64, the probe of each mated trial.
        units: (m,) int64, the bootstrap unit (person) of each mated trial.
        correct: (m,) bool, the best match is the right person.
        scores: (m,) float64, similarity of the best match; minus infinity for an undetected face.
        genuine_scores: (m,) float64, similarity to the right person; minus infinity for an undetected face.
        sizes: (m,) float64, face size in pixels.
        non_mated_scores: (k,) float64, similarity of the best match of each non-mated trial, highest first.
        non_mated_units: (k,) int64, their bootstrap units.
    """

    probe_rows: np.ndarray
    units: np.ndarray
    correct: np.ndarray
    scores: np.ndarray
    genuine_scores: np.ndarray
    sizes: np.ndarray
    non_mated_scores: np.ndarray
    non_mated_units: np.ndarray


def run_trials(similarities: np.ndarray, mates: np.ndarray, units: np.ndarray, sizes: np.ndarray) -> Trials:
    """Run the mated and non-mated trials of all probes.

    Args:
        similarities: (n, p) of probes to people; minus infinity in the rows of undetected faces and in the columns of
            people without a template.
        mates: (n,) int64, column of each probe's own person, or NON_MATED.
        units: (n,) int64, bootstrap unit of each probe.
        sizes: (n,) face sizes in pixels; unused for NON_MATED probes.
    """
    similarities = similarities.astype(np.float64)
    rows = np.flatnonzero(mates != NON_MATED)
    genuine = similarities[rows, mates[rows]]
    best = similarities[rows].max(1, initial=-np.inf)
    best_match = similarities[rows].argmax(1) if similarities.shape[1] else np.zeros(0, np.int64)
    impostor_similarities = similarities.copy()
    impostor_similarities[rows, mates[rows]] = -np.inf
    best_impostor = impostor_similarities.max(1, initial=-np.inf)
    non_mated = np.flatnonzero(np.isfinite(best_impostor))
    non_mated = non_mated[np.argsort(-best_impostor[non_mated], kind="stable")]
    return Trials(
        probe_rows=rows,
        units=units[rows],
        correct=(best_match == mates[rows]) & np.isfinite(genuine),
        scores=best,
        genuine_scores=genuine,
        sizes=sizes[rows],
        non_mated_scores=best_impostor[non_mated],
        non_mated_units=units[non_mated],
    )


def rank1(trials: Trials, weights: np.ndarray | None = None, min_size: float = 0.0) -> float:
    """Compute the rank-1 identification rate of the mated trials, without a threshold.

    Args:
        trials: of one split.
        weights: (units,) weight of each bootstrap unit, 1 by default.
        min_size: smaller faces are left out, in pixels.

    Returns:
        NaN without trials.
    """
    trial_weights = _trial_weights(trials.units, weights) * (trials.sizes >= min_size)
    return _weighted_fraction(trials.correct, trial_weights)


def dir_at_threshold(trials: Trials, threshold: float, weights: np.ndarray | None = None) -> float:
    """Compute the DIR: the fraction of mated trials correct and above threshold.

    `weights` as in `rank1`.
    """
    return _weighted_fraction(trials.correct & (trials.scores >= threshold), _trial_weights(trials.units, weights))


def fpir_at_threshold(trials: Trials, threshold: float, weights: np.ndarray | None = None) -> float:
    """Compute the FPIR: the fraction of non-mated trials that reach the threshold.

    `weights` as in `rank1`.
    """
    return rate_at_threshold(trials.non_mated_scores, threshold, _trial_weights(trials.non_mated_units, weights))


def threshold_at_fpir(trials: Trials, fpir: float, weights: np.ndarray | None = None) -> float:
    """Compute the lowest threshold with an FPIR of at most `fpir`.

    Without non-mated trials, every detected face passes. `weights` as in `rank1`.
    """
    return threshold_at_rate(trials.non_mated_scores, fpir, _trial_weights(trials.non_mated_units, weights))


def dir_at_fpir(trials: Trials, fpir: float, weights: np.ndarray | None = None) -> float:
    """Compute the DIR at the lowest threshold with an FPIR of at most `fpir`."""
    return dir_at_threshold(trials, threshold_at_fpir(trials, fpir, weights), weights)


def identification_metrics(
    trials: Trials, *, large_face_size: float, threshold: float, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Compute the identification metrics of one split.

    Args:
        trials: of the split.
        large_face_size: smallest face size of `rank1_large`, in pixels.
        threshold: calibrated on other people, for `dir_calibrated` and `fpir_calibrated`.
        weights: (units,) weight of each bootstrap unit, 1 by default.
    """
    return {
        "rank1": rank1(trials, weights),
        "rank1_large": rank1(trials, weights, min_size=large_face_size),
        "dir_fpir1": dir_at_fpir(trials, 0.01, weights),
        "dir_fpir10": dir_at_fpir(trials, 0.1, weights),
        "dir_calibrated": dir_at_threshold(trials, threshold, weights),
        "fpir_calibrated": fpir_at_threshold(trials, threshold, weights),
    }


def _trial_weights(units: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.ones(len(units)) if weights is None else weights[units]


def _weighted_fraction(is_true: np.ndarray, weights: np.ndarray) -> float:
    total = float(weights.sum())
    return float(weights @ is_true) / total if total > 0 else float("nan")
