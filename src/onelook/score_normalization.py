"""Normalize a face's similarities to a gallery by those to its other people (T-norm), with a prior for few people.

Impostors resemble a face more where photos have the same size or blur, or where people have the same age, sex or
origin. The similarities of one face to the people of a gallery show how much: their mean and variance are those of its
impostors there. Both are unknown, and their prior is normal-inverse-gamma. Given the similarities to the other people,
the next impostor has a Student t distribution. The normal score of a similarity is that of its tail probability.

References: Auckenthaler, Carey and Lloyd-Thomas, "Score normalization for text-independent speaker verification
systems", Digital Signal Processing 10, 2000 (T-norm). Gelman et al., "Bayesian Data Analysis", section 3.3 (prior and
predictive distribution). Grother et al., NIST IR 8280, 2019 (impostor scores by age, sex and origin).
"""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from onelook.special_functions import ndtri, stdtr

# Tail probabilities outside are rounded to 0 and 1 in floats; the limits keep the score finite.
_MIN_PROBABILITY, _MAX_PROBABILITY = 1e-300, 1 - 1e-15


@dataclass(frozen=True, eq=False)
class SimilarityMoments:
    """Moments of the similarities of faces to people of a gallery; a scalar or (n,) each.

    Attributes:
        count: number of people.
        mean: their mean similarity; 0 without people.
        variance: their population variance; 0 without people.
    """

    count: np.ndarray | int
    mean: np.ndarray | float
    variance: np.ndarray | float


class ImpostorPrior(BaseModel):
    """Normal-inverse-gamma prior of the impostor mean and variance of a face."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    mean: float = Field(description="expected mean of a face's impostor similarities")
    std: PositiveFloat = Field(description="expected standard deviation within one face")
    mean_weight: PositiveFloat = Field(description="number of people that the mean counts as")
    std_weight: PositiveFloat = Field(description="number of people that the standard deviation counts as")

    def normalize(self, similarity: np.ndarray, others: SimilarityMoments) -> np.ndarray:
        """Compute the normal score (n,) of similarities (n,) to a person.

        Args:
            similarity: similarity of each face to the person.
            others: of each face to the other people of the gallery.
        """
        location, scale, degrees = self.predictive(others)
        deviation = (np.asarray(similarity, np.float64) - location) / scale
        return -ndtri(np.clip(stdtr(degrees, -deviation), _MIN_PROBABILITY, _MAX_PROBABILITY))

    def predictive(self, others: SimilarityMoments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return location, scale and degrees of freedom of the t distribution of the next impostor similarity."""
        count, mean = np.asarray(others.count, np.float64), np.asarray(others.mean, np.float64)
        weight, degrees = self.mean_weight + count, self.std_weight + count
        location = (self.mean_weight * self.mean + count * mean) / weight
        between = self.mean_weight * count / weight * (mean - self.mean) ** 2
        squares = self.std_weight * self.std**2 + count * np.asarray(others.variance, np.float64) + between
        return location, np.sqrt(squares / degrees * (1 + 1 / weight)), degrees


def leave_one_out_moments(similarities: np.ndarray) -> SimilarityMoments:
    """Compute for each person the moments of a face's similarities to all others, each (n, p).

    Args:
        similarities: (n, p) of faces to people, NaN where a person is left out of a face's gallery.
    """
    scores = similarities.astype(np.float64)
    count = np.isfinite(scores).sum(axis=1, keepdims=True)
    return moments_of_others(
        count, np.nansum(scores, axis=1, keepdims=True), np.nansum(scores**2, axis=1, keepdims=True), scores
    )


def moments_of_others(
    count: np.ndarray | int, total: np.ndarray, squares: np.ndarray, excluded: np.ndarray
) -> SimilarityMoments:
    """Compute the moments without one person.

    Args:
        count: number of people, with the excluded one; at least 1.
        total, squares: sums of the similarities of a face, and of their squares.
        excluded: similarity to the person left out.
    """
    others = np.asarray(count) - 1
    divisor = np.maximum(others, 1)
    mean = np.where(others > 0, (total - excluded) / divisor, 0.0)
    variance = np.where(others > 0, np.maximum((squares - excluded**2) / divisor - mean**2, 0.0), 0.0)
    return SimilarityMoments(others, mean, variance)
