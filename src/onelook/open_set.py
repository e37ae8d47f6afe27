"""When a face is unknown: how similar strangers get to somebody in a gallery, and how sure a name is.

One stranger compared with one person gives a similarity whose upper tail is that of a normal law: the cosine of two
unrelated directions in many dimensions is nearly normal, and so it was measured down to one comparison in 100,000
(`benchmarks/unknown.py`). Against N people the stranger's best is the highest of N draws (Grother et al., NIST IR 8271,
section 3; Jarosz et al., "Large-scale identification system design", 2005): reaching t has the probability
1 - (1 - S(t))^N, where S is the probability in one comparison. So a threshold follows from a promised rate and N.
"""

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from scipy.special import expit, log_ndtr, ndtri


class ImpostorModel(BaseModel):
    """What tells a stranger from an enrolled person, for a gallery of any size."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    mean: float = Field(description="of the normal law whose tail the similarities of strangers have")
    deviation: PositiveFloat = Field(description="its standard deviation")
    intercept: float = Field(description="log odds that a name is right where one stranger is expected to reach it")
    slope: float = Field(ge=0, description="by how much they grow as e times fewer strangers reach it")

    def expected(self, similarity: np.ndarray, people: int) -> np.ndarray:
        """Natural logarithm of N S(s): how many of N people a stranger is expected to resemble at least so much."""
        return np.log(people) + log_ndtr((self.mean - np.asarray(similarity, np.float64)) / self.deviation)

    def fpir(self, threshold: float, people: int) -> float:
        """The share of strangers whose best similarity among so many people reaches a threshold."""
        one = math.exp(float(self.expected(np.asarray(threshold), 1)))
        return -math.expm1(people * math.log1p(-one)) if one < 1 else 1.0

    def threshold(self, target_fpir: float, people: int) -> float:
        """The lowest similarity that at most a share `target_fpir` of strangers reaches, rounded up to four decimals.

        So what is shown is what is used, and a rounding error in a similarity cannot matter. An empty gallery, which
        names nobody, has the threshold of one person.
        """
        one = -math.expm1(math.log1p(-target_fpir) / max(people, 1))
        return round_up(self.mean - self.deviation * float(ndtri(one)))

    def confidence(self, similarity: np.ndarray, people: int) -> np.ndarray:
        """The probability (n,) that the most similar of so many people is who it is, at similarities (n,).

        It supposes that half of the faces shown are of enrolled people. The log odds are a line over the logarithm of
        the strangers expected (Platt, "Probabilistic outputs for support vector machines", 1999, with that evidence).
        """
        return expit(self.intercept - self.slope * self.expected(similarity, people))


def round_up(threshold: float) -> float:
    """The next number of four decimals above a threshold."""
    return round((math.floor(threshold * 1e4) + 1) / 1e4, 4)
