"""Limits of face quality: where fewer photos of enrolled people are named, by logistic regression.

The probability that a face is named, given that its person is enrolled, is a logistic function of one property, with
the others good, times the probability of a good photo. A limit is the value at which the function has fallen to a
fraction.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from onelook.face_quality import Quality, QualityLimits

POOR_FRACTION, UNUSABLE_FRACTION = 0.5, 0.1
"""Fractions of the names of a good photo that are left at the limits `poor` and `unusable`."""
MIN_FACES = 50
"""Number of faces below which a limit is not fitted."""


def fit_quality_limits(
    qualities: Sequence[Quality], is_named: np.ndarray, sets: np.ndarray
) -> tuple[QualityLimits, QualityLimits]:
    """Fit the limits `poor` and `unusable` to the mated probes of several sets.

    Args:
        qualities: of n probes whose people are enrolled: photos as they are, reduced, and blurred.
        is_named: (n,) bool, the right name was given.
        sets: (n,) int64, the set of each probe, from 0: sets are differently hard with good photos, too.
    """
    size, sharpness, profile = (
        np.array([getattr(quality, key) for quality in qualities], np.float64)
        for key in ("size", "sharpness", "profile")
    )
    is_large, is_sharp = size >= np.median(size) / 1.5, sharpness >= np.median(sharpness) / 1.5
    is_frontal = profile <= np.median(profile) * 1.5
    evidence = {
        "size": (np.log(np.maximum(size, 1.0)), is_sharp & is_frontal),
        "sharpness": (np.log(np.maximum(sharpness, 1e-3)), is_large & is_frontal),
        "profile": (-profile, is_large & is_sharp),
    }

    def limits(fraction: float) -> QualityLimits:
        size, sharpness, profile = (
            _fit_limit(values[chosen], is_named[chosen], sets[chosen], fraction) for values, chosen in evidence.values()
        )
        return QualityLimits(
            size=0.0 if size is None else round(math.exp(size), 1),
            sharpness=0.0 if sharpness is None else round(math.exp(sharpness), 3),
            profile=None if profile is None else round(max(-profile, 0.0), 3),
        )

    return limits(POOR_FRACTION), limits(UNUSABLE_FRACTION)


def _fit_limit(values: np.ndarray, is_named: np.ndarray, sets: np.ndarray, fraction: float) -> float | None:
    """Fit P(named) = c_set expit(a + b value), and return the value at which expit has fallen to a fraction.

    None with fewer than `MIN_FACES` faces, or where the probability does not grow with the value.
    """
    if len(values) < MIN_FACES or is_named.sum() < 2:
        return None
    center, scale = float(np.median(values)), float(values.std()) or 1.0
    standard = (values - center) / scale

    def loss(parameters: np.ndarray) -> float:
        good, of_good = expit(parameters[2:])[sets], expit(parameters[0] + parameters[1] * standard)
        probability = np.clip(good * of_good, 1e-9, 1 - 1e-9)
        return float(-np.where(is_named, np.log(probability), np.log1p(-probability)).mean())

    # The ceilings start at 73 %.
    start = np.concatenate([[1.0, 1.0], np.ones(int(sets.max()) + 1)])
    intercept, slope = minimize(loss, start, method="L-BFGS-B").x[:2]
    return None if slope <= 0 else center + scale * float((logit(fraction) - intercept) / slope)
