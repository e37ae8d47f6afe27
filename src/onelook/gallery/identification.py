"""What a gallery answers about a face."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.gallery.faiss_index import Ranking
from onelook.open_set import ImpostorModel


@dataclass(frozen=True)
class Identification:
    """Who a face is.

    Attributes:
        name: who it is, or None: unknown, the similarity is below the gallery's threshold.
        similarity: with the most similar enrolled person, -1..1; None in a gallery without people.
        nearest: who that is, also where the name is unknown; None in a gallery without people.
        margin: by how much the second most similar person is less similar; None with fewer than two people.
        confidence: the probability that `nearest` is right if half of the faces shown are of enrolled people, 0..1;
            None in a gallery without people, or whose calibration could not tell.
    """

    name: str | None
    similarity: float | None
    nearest: str | None
    margin: float | None = None
    confidence: float | None = None

    def record(self) -> dict[str, object]:
        """For JSON: all to a millionth."""
        return {
            "name": self.name,
            "similarity": _rounded(self.similarity),
            "nearest": self.nearest,
            "margin": _rounded(self.margin),
            "confidence": _rounded(self.confidence),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class IdentifiedFace(Identification):
    """One face of a photo, and who it is.

    Attributes:
        box: (4,) float32, x1 y1 x2 y2 in pixels of the upright photo, half-open; may reach outside it.
        landmarks: (5, 2) float32, left eye, right eye, nose, left and right mouth corner as seen in the photo.
        score: how sure the detector is that this is a face, 0..1.
        embedding: (d,) float32 of length 1.
        mesh: (468, 3) float32, as in `Detections`; None where the model has no mesh head.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float
    embedding: np.ndarray
    mesh: np.ndarray | None = None

    def record(self) -> dict[str, object]:
        """The face without its mesh and its embedding, for JSON: pixels to a thousandth, all else to a millionth."""
        return {
            "box": [round(float(c), 3) for c in self.box],
            "landmarks": [[round(float(c), 3) for c in point] for point in self.landmarks],
            "score": round(self.score, 6),
            **super().record(),
        }


UNKNOWN_FACE = Identification(None, None, None)
"""What a gallery without people answers."""


def identify_ranked(
    ranking: Ranking, names: Sequence[str], people: int, threshold: float, unknown: ImpostorModel | None
) -> list[Identification]:
    """What the two most similar people say of each probe.

    Args:
        ranking: of at least one person and at most two for each probe.
        names: the people that its places number.
        people: how many are enrolled; not none.
        threshold: the lowest similarity at which a face gets a name.
        unknown: what tells how sure a name is; None: nothing does.
    """
    best = ranking.similarities[:, 0]
    sure = [None] * len(best) if unknown is None else unknown.confidence(best, people)
    answers = []
    for places, (similarity, second), probability in zip(ranking.places, ranking.similarities, sure, strict=True):
        nearest, likeness = names[places[0]], float(similarity)  # in single precision a threshold is rounded
        answers.append(
            Identification(
                name=nearest if likeness >= threshold else None,
                similarity=likeness,
                nearest=nearest,
                margin=likeness - float(second) if people > 1 else None,
                confidence=None if probability is None else float(probability),
            )
        )
    return answers


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
