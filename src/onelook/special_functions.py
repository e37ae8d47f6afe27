"""Normal and Student t distributions in NumPy, under the names of `scipy.special`.

Identification needs these functions and nothing else of SciPy, which has a fifth of the size of its installation.
"""

import math
from statistics import NormalDist
from typing import Any

import numpy as np

# Where the normal tail is below 1e-197, its asymptotic series is exact in float64.
_ASYMPTOTIC = -30.0
# Nodes of the quadrature, and the log of the tail that it drops.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_LOG_DROPPED = 40.0
# Values whose nodes are evaluated at once: few enough for the processor's cache.
_BLOCK_ROWS = 1024
# A Student t tail at w = 40 is below 1e-340.
_MAX_W, _BISECTIONS = 40.0, 64

_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_normal_quantile = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])


def expit(x: np.ndarray) -> np.ndarray:
    """Compute the logistic function 1 / (1 + exp(-x)), without overflow."""
    values = np.asarray(x, np.float64)
    decayed = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, decayed) / (1 + decayed)


def logit(p: np.ndarray) -> np.ndarray:
    """Compute the log odds of probabilities inside 0 and 1."""
    values = np.asarray(p, np.float64)
    return np.log(values) - np.log1p(-values)


def ndtr(x: np.ndarray | float) -> np.ndarray:
    """Compute the normal distribution function."""
    return _erfc(-np.asarray(x, np.float64) / math.sqrt(2)) / 2


def log_ndtr(x: np.ndarray | float) -> np.ndarray:
    """Compute the log of the normal distribution function, also where that is too small for a float."""
    values = np.asarray(x, np.float64)
    lower = np.minimum(values, _ASYMPTOTIC)
    inverse = lower**-2
    series = 1 - inverse * (1 - inverse * (3 - inverse * (15 - inverse * (105 - inverse * 945))))
    asymptotic = -(lower**2) / 2 - np.log(-lower * math.sqrt(2 * math.pi)) + np.log(series)
    # Close to 1, the log of the distribution function is that of 1 minus the other tail.
    other = ndtr(-np.abs(values))
    direct = np.where(values > 0, np.log1p(-other), np.log(np.maximum(other, np.finfo(np.float64).tiny)))
    return np.where(values < _ASYMPTOTIC, asymptotic, direct)


def ndtri(p: np.ndarray | float) -> np.ndarray:
    """Compute the quantiles of the normal distribution of probabilities inside 0 and 1; NaN of NaN."""
    with np.errstate(invalid="ignore"):
        return _normal_quantile(np.asarray(p, np.float64))


def stdtr(df: Any, t: np.ndarray | float) -> np.ndarray:
    """Compute the distribution function of Student's t, with a relative error below 1e-12 from one degree on.

    Args:
        df: degrees of freedom, positive; they and `t` are broadcast.
        t: quantiles.
    """
    degrees, quantiles = np.asarray(df, np.float64), np.asarray(t, np.float64)
    tail = _student_tail(degrees, np.sqrt(degrees * np.log1p(quantiles**2 / degrees)))
    return np.where(quantiles > 0, 1 - tail, tail)


def stdtrit(df: Any, p: np.ndarray | float) -> np.ndarray:
    """Compute the quantiles of Student's t, by bisection.

    Args:
        df: degrees of freedom, positive; they and `p` are broadcast.
        p: probabilities inside 0 and 1.
    """
    degrees, probability = np.asarray(df, np.float64), np.asarray(p, np.float64)
    target = np.minimum(probability, 1 - probability)
    low, high = np.zeros(np.broadcast(degrees, target).shape), np.full_like(target + degrees, _MAX_W)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        is_below = _student_tail(degrees, middle) > target
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return np.where(probability < 0.5, -1, 1) * np.sqrt(degrees * np.expm1(high**2 / degrees))


def _student_tail(df: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Compute the upper tail of Student's t at t = sqrt(df (exp(w^2 / df) - 1)), w >= 0.

    By this substitution the density is nearly normal for any number of degrees: proportional to exp(-w^2 / 2) times the
    square root of x / (1 - exp(-x)), x = w^2 / df. Half of the distribution lies above 0, which gives the factor.
    """
    return np.exp(-(w**2) / 2) * _relative_tail(df, w) / (2 * _relative_tail(df, np.zeros(())))


def _relative_tail(df: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Integrate the density of `_student_tail` above w, relative to exp(-w^2 / 2), by Gauss-Legendre quadrature."""
    degrees, lower = (each.reshape(-1, 1) for each in np.broadcast_arrays(df, w))
    total = np.empty(len(lower))
    for start in range(0, len(lower), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        half = (np.sqrt(lower[rows] ** 2 + 2 * _LOG_DROPPED) - lower[rows]) / 2
        step = half * (1 + _NODES)
        x = (lower[rows] + step) ** 2 / degrees[rows]
        total[rows] = half[:, 0] * (np.exp(-step * (lower[rows] + step / 2)) * np.sqrt(x / -np.expm1(-x)) @ _WEIGHTS)
    return total.reshape(np.broadcast(df, w).shape)
