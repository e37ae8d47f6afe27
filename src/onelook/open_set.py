"""Open-set threshold and confidence from the impostor similarity distribution.

- One impostor against one person gives a similarity whose upper tail is normal: the cosine of two unrelated directions
  in many dimensions is nearly normal. `benchmarks/open_set.py` confirms it down to one comparison in 100,000.
- Against N people an impostor's best similarity is the highest of N draws. It reaches t with probability
  1 - (1 - S(t))^N, where S(t) is the probability for one person. A target rate and N therefore give the threshold.

References: Grother et al., NIST IR 8271, section 3. Jarosz et al., "Large-scale identification system design", 2005.
"""

import math

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveFloat
from scipy.special import expit, log_ndtr, ndtri


class ImpostorModel(BaseModel):
    """The normal tail of impostor similarities, and the confidence of a match."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    mean: float = Field(description="mean of the normal distribution whose upper tail fits the impostor similarities")
    # Calibrations and galleries of earlier versions have the key `deviation`.
    std: PositiveFloat = Field(
        validation_alias=AliasChoices("std", "deviation"), description="standard deviation of that distribution"
    )
    intercept: float = Field(description="log odds that a match is correct where one impostor is expected to reach it")
    slope: float = Field(ge=0, description="growth of the log odds per factor e fewer expected impostors")

    def log_expected_impostors(self, similarity: np.ndarray, people: int) -> np.ndarray:
        """Compute log(N S(s)), N people: expected number that match one impostor."""
        return np.log(people) + log_ndtr((self.mean - np.asarray(similarity, np.float64)) / self.std)

    def fpir(self, threshold: float, people: int) -> float:
        """Compute the fraction of impostors whose best similarity reaches a threshold."""
        one = math.exp(float(self.log_expected_impostors(np.asarray(threshold), 1)))
        return -math.expm1(people * math.log1p(-one)) if one < 1 else 1.0

    def threshold(self, target_fpir: float, people: int) -> float:
        """Compute the lowest threshold with an FPIR of at most `target_fpir`.

        It is rounded up to four decimals: the printed value is the value in use, and float rounding of a similarity
        does not matter. An empty gallery has the threshold of one person.
        """
        one = -math.expm1(math.log1p(-target_fpir) / max(people, 1))
        return round_up(self.mean - self.std * float(ndtri(one)))

    def confidence(self, similarity: np.ndarray, people: int) -> np.ndarray:
        """Compute the probability (n,) that the best match is correct.

        Half of the probes are assumed to be enrolled. The log odds are linear in the log of the expected impostors
        (Platt, "Probabilistic outputs for support vector machines", 1999).

        Args:
            similarity: (n,) similarity of each probe to its best match.
            people: number of enrolled people.
        """
        return expit(self.intercept - self.slope * self.log_expected_impostors(similarity, people))


def round_up(threshold: float) -> float:
    """Round up to the next number of four decimals that is above a threshold."""
    return round((math.floor(threshold * 1e4) + 1) / 1e4, 4)
