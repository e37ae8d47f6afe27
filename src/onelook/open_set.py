"""Open-set threshold and confidence from the impostor score distribution.

A score is a similarity, or a similarity normalized by those to the other people (`score_normalization`).

- One impostor against one person gives a similarity whose upper tail is normal: the cosine of two unrelated directions
  in many dimensions is nearly normal. `benchmarks/open_set.py` confirms it down to one comparison in 100,000.
- Against N people an impostor's best similarity is the highest of N draws. It reaches t with probability
  1 - (1 - S(t))^N, where S(t) is the probability for one person. A target rate and N therefore give the threshold.

References: Grother et al., NIST IR 8271, section 3. Jarosz et al., "Large-scale identification system design", 2005.
"""

import math

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveFloat

from onelook.face_quality import QualityLimits
from onelook.score_normalization import ImpostorPrior, SimilarityMoments
from onelook.special_functions import expit, log_ndtr, ndtr, ndtri, stdtrit


class NormalTail(BaseModel):
    """The normal tail of impostor scores."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    mean: float = Field(description="mean of the normal distribution whose upper tail fits the impostor scores")
    # Calibrations and galleries of earlier versions have the key `deviation`.
    std: PositiveFloat = Field(
        validation_alias=AliasChoices("std", "deviation"), description="standard deviation of that distribution"
    )

    def log_expected_impostors(self, score: np.ndarray, people: int) -> np.ndarray:
        """Compute log(N S(s)), N people: expected number that match one impostor."""
        return np.log(people) + log_ndtr((self.mean - np.asarray(score, np.float64)) / self.std)

    def fpir(self, threshold: float, people: int) -> float:
        """Compute the fraction of impostors whose best score reaches a threshold."""
        one = math.exp(float(self.log_expected_impostors(np.asarray(threshold), 1)))
        return -math.expm1(people * math.log1p(-one)) if one < 1 else 1.0

    def threshold(self, target_fpir: float, people: int) -> float:
        """Compute the lowest threshold with an FPIR of at most `target_fpir`.

        It is rounded up to four decimals: the printed value is the value in use, and float rounding of a score does
        not matter. An empty gallery has the threshold of one person.
        """
        one = -math.expm1(math.log1p(-target_fpir) / max(people, 1))
        return round_up(self.mean - self.std * float(ndtri(one)))


class ImpostorModel(NormalTail):
    """The normal tail of impostor scores, and the confidence of a match."""

    intercept: float = Field(description="log odds that a match is correct where one impostor is expected to reach it")
    slope: float = Field(ge=0, description="growth of the log odds per factor e fewer expected impostors")

    def confidence(self, score: np.ndarray, people: int) -> np.ndarray:
        """Compute the probability (n,) that the best match is correct.

        Half of the probes are assumed to be enrolled. The log odds are linear in the log of the expected impostors
        (Platt, "Probabilistic outputs for support vector machines", 1999).

        Args:
            score: (n,) score of each probe's best match.
            people: number of enrolled people.
        """
        return expit(self.intercept - self.slope * self.log_expected_impostors(score, people))


class YoungFaces(BaseModel):
    """Linear discriminant of children's faces, and the similarities of different children.

    The embeddings of children resemble each other. Where few children are enrolled among adults, a child's similarities
    to the others do not show that, so that normalization does not raise its threshold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    direction: tuple[float, ...] = Field(min_length=1, description="of Fisher's discriminant, one entry a dimension")
    limit: float = Field(description="projection above which a face counts as a child's")
    impostors: NormalTail = Field(description="similarities of children to children of the same age, sex and origin")

    def includes(self, embeddings: np.ndarray) -> np.ndarray:
        """Return which embeddings (n, d) are those of a child's face, (n,) bool."""
        return embeddings.astype(np.float64) @ np.asarray(self.direction) > self.limit


class OpenSetModel(BaseModel):
    """The open-set decision of a model: score normalization, impostor tail, and the limits of face quality."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    prior: ImpostorPrior
    impostors: ImpostorModel = Field(description="tail and confidence of normalized scores")
    young: YoungFaces | None = Field(default=None, description="null: no ages were known")
    poor: QualityLimits = Field(description="a face beyond them without a name is not sure; enrolling it warns")
    unusable: QualityLimits = Field(description="a face beyond them is not named and not enrolled")

    @property
    def nameable(self) -> QualityLimits:
        """Return the limits beyond which a face is not named.

        Of the profile, the weaker limit holds: some frontal templates attract faces in profile, so that their scores
        exceed the fitted tail (`benchmarks/unknown.py`).
        """
        return self.unusable.model_copy(update={"profile": self.poor.profile})

    def typical_threshold(self, target_fpir: float, people: int) -> float:
        """Compute the similarity threshold of a face whose impostors are those of the prior."""
        others = SimilarityMoments(max(people - 1, 0), self.prior.mean, self.prior.std**2)
        location, scale, degrees = self.prior.predictive(others)
        tail = float(ndtr(-self.impostors.threshold(target_fpir, people)))
        return round_up(float(location - scale * stdtrit(degrees, tail)))


def round_up(threshold: float) -> float:
    """Round up to the next number of four decimals that is above a threshold."""
    above = math.floor(threshold * 1e4) + 1
    # The product may be rounded down, as that of 0.57 is.
    return round((above if round(above / 1e4, 4) > threshold else above + 1) / 1e4, 4)
