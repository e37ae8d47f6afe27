"""Open-set identification: name a face from its ranked neighbors, the calibration and the quality of the face."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.face_quality import Quality
from onelook.faces import Face
from onelook.gallery.backend import SearchResult
from onelook.gallery.data import GalleryMetadata
from onelook.names import format_identity
from onelook.open_set import OpenSetModel


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
        reason: why a face without a name may still be of an enrolled person, as in "22 px, blurred"; None: it has a
            name, or is unknown.
        rejected: a user said that this face, or one like it, is not `nearest`.
    """

    name: str | None
    similarity: float | None
    nearest: str | None
    margin: float | None = None
    confidence: float | None = None
    reason: str | None = None
    rejected: bool = False

    @property
    def label(self) -> str:
        """Return the text shown as the identity: the name, "unknown", or "not sure" with the reason."""
        return format_identity(self.name, self.reason)

    def to_dict(self) -> dict[str, object]:
        """Convert to a JSON object, numbers rounded to six decimals."""
        return {
            "name": self.name,
            "similarity": _round(self.similarity),
            "nearest": self.nearest,
            "margin": _round(self.margin),
            "confidence": _round(self.confidence),
            "reason": self.reason,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class IdentifiedFace(Identification, Face):
    """A detected face and its identity; the attributes are those of `Face` and `Identification`."""

    def to_dict(self) -> dict[str, object]:
        """Convert to a JSON object without mesh and embedding, see `Face.to_dict`."""
        return {**Face.to_dict(self), **Identification.to_dict(self)}


def summarize_faces(faces: Sequence[IdentifiedFace]) -> str:
    """Describe who is in a photo, from left to right, as in "Ada, Grace, 1 not sure and 16 not recognized"."""
    ordered = sorted(faces, key=lambda face: float(face.box[0] + face.box[2]))
    names = Counter(face.name for face in ordered if face.name is not None)
    parts = [name if count == 1 else f"{name} ({count} faces)" for name, count in names.items()]
    unsure = sum(face.name is None and face.reason is not None for face in faces)
    parts += [f"{unsure} not sure"] if unsure else []
    rest = len(faces) - unsure - names.total()
    parts += [f"{rest} not recognized"] if rest else []
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]])) or "no face"


UNKNOWN_FACE = Identification(None, None, None)
"""The identification of any face in an empty gallery."""


def identify_faces(
    found: SearchResult, embeddings: np.ndarray, qualities: Sequence[Quality | None], metadata: GalleryMetadata
) -> list[Identification]:
    """Name each face after its most similar person, or leave it unknown or not sure.

    Args:
        found: the two most similar people of each face, of at least one person.
        embeddings: (n, d) float32, L2-normalized, of the faces.
        qualities: of the faces; None where it was not measured.
        metadata: calibration of the gallery.
    """
    best = found.ranking.similarities[:, 0].astype(np.float64)  # a threshold in float32 would be rounded
    reasons: list[str | None] = [None] * len(best)
    impostors, scores = metadata.impostor_model, best
    if metadata.open_set is None:
        is_match = best >= metadata.threshold_for(found.people_count)
    else:
        impostors, scores = metadata.open_set.impostors, metadata.open_set.prior.normalize(best, found.others)
        is_match, reasons = _decide(metadata.open_set, metadata.target_fpir, found, embeddings, qualities, scores)
    confidences = [None] * len(best) if impostors is None else impostors.confidence(scores, found.people_count).tolist()
    return [
        Identification(
            name=found.names[indices[0]] if named else None,
            similarity=float(first),
            nearest=found.names[indices[0]],
            margin=float(first) - float(second) if found.people_count > 1 else None,
            confidence=confidence,
            reason=reason,
        )
        for indices, (first, second), named, confidence, reason in zip(
            found.ranking.indices, found.ranking.similarities, is_match, confidences, reasons, strict=True
        )
    ]


def _decide(
    model: OpenSetModel,
    target_fpir: float,
    found: SearchResult,
    embeddings: np.ndarray,
    qualities: Sequence[Quality | None],
    scores: np.ndarray,
) -> tuple[np.ndarray, list[str | None]]:
    """Decide which faces are named, (n,) bool, and why others are not sure."""
    is_match = scores >= model.impostors.threshold(target_fpir, found.people_count)
    is_young = np.zeros(len(scores), bool)
    if model.young is not None:
        threshold = model.young.impostors.threshold(target_fpir, found.people_count)
        is_young = is_match & model.young.includes(embeddings) & (found.ranking.similarities[:, 0] < threshold)
    is_usable = [quality is None or not model.nameable.describe_problems(quality) for quality in qualities]
    is_named = is_match & ~is_young & np.array(is_usable, bool)
    reasons: list[str | None] = []
    for quality, named, young in zip(qualities, is_named, is_young, strict=True):
        problems = None if quality is None or named else model.poor.describe_problems(quality)
        reasons.append(", ".join(filter(None, [problems, "young face" if young else None])) or None)
    return is_named, reasons


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
