"""Open-set identification: name a face from its ranked neighbors, the threshold and the impostor model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.gallery.faiss_index import Ranking
from onelook.open_set import ImpostorModel


@dataclass(frozen=True)
class Identification:
    """The identity of a face.

    Attributes:
        name: the person, or None: unknown, because the similarity is below the gallery's threshold.
        similarity: cosine similarity with the most similar person, -1..1; None in an empty gallery.
        nearest: the most similar person, also where the name is unknown; None in an empty gallery.
        margin: difference of the best and the second-best similarity; None with fewer than two people.
        confidence: probability that `nearest` is right, 0..1, if half of the probes are of enrolled people; None in an
            empty gallery, or without an impostor model.
    """

    name: str | None
    similarity: float | None
    nearest: str | None
    margin: float | None = None
    confidence: float | None = None

    def to_dict(self) -> dict[str, object]:
        """Convert to a JSON object, numbers rounded to six decimals."""
        return {
            "name": self.name,
            "similarity": _round(self.similarity),
            "nearest": self.nearest,
            "margin": _round(self.margin),
            "confidence": _round(self.confidence),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class IdentifiedFace(Identification):
    """A detected face and its identity.

    Attributes:
        box: (4,) float32, x1 y1 x2 y2 in pixels of the upright image, half-open; may reach outside it.
        landmarks: (5, 2) float32, left eye, right eye, nose, left and right mouth corner as seen in the image.
        score: detection score, 0..1.
        embedding: (d,) float32, L2-normalized.
        mesh: (468, 3) float32, as in `Detections`; None where the model has no mesh head.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float
    embedding: np.ndarray
    mesh: np.ndarray | None = None

    def to_dict(self) -> dict[str, object]:
        """Convert to a JSON object without mesh and embedding, pixels rounded to three decimals, others to six."""
        return {
            "box": [round(float(c), 3) for c in self.box],
            "landmarks": [[round(float(c), 3) for c in point] for point in self.landmarks],
            "score": round(self.score, 6),
            **super().to_dict(),
        }


UNKNOWN_FACE = Identification(None, None, None)
"""The identification of any face in an empty gallery."""


def identify_ranked(
    ranking: Ranking, names: Sequence[str], people_count: int, threshold: float, impostor_model: ImpostorModel | None
) -> list[Identification]:
    """Name each probe after its most similar person, or as unknown below the threshold.

    Args:
        ranking: the two most similar people of each probe, as positions in `names`.
        names: the people the ranking refers to.
        people_count: number of enrolled people, at least one.
        threshold: lowest similarity at which a face is named.
        impostor_model: computes the confidence; None: the confidence is None.
    """
    best = ranking.similarities[:, 0]
    confidences = [None] * len(best) if impostor_model is None else impostor_model.confidence(best, people_count)
    identifications = []
    for indices, (first, second), confidence in zip(ranking.indices, ranking.similarities, confidences, strict=True):
        nearest, similarity = names[indices[0]], float(first)  # float64: a threshold in float32 would be rounded
        identifications.append(
            Identification(
                name=nearest if similarity >= threshold else None,
                similarity=similarity,
                nearest=nearest,
                margin=similarity - float(second) if people_count > 1 else None,
                confidence=None if confidence is None else float(confidence),
            )
        )
    return identifications


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
