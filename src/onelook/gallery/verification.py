"""Verification: decide whether two faces are of one person, at a false-accept rate (FAR).

The impostor model is that of identification with one enrolled person and no others to normalize by: a pair of faces of
two people drawn from the calibration sets reaches the threshold with a probability of at most the FAR.
"""

from dataclasses import dataclass

import numpy as np

from onelook.errors import GalleryError
from onelook.face_quality import Quality
from onelook.faces import Face
from onelook.gallery.data import GalleryMetadata
from onelook.open_set import OpenSetModel
from onelook.score_normalization import SimilarityMoments

_NO_OTHERS = SimilarityMoments(0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Verification:
    """The comparison of two faces.

    Attributes:
        is_same: the faces match at the false-accept rate.
        similarity: cosine similarity, -1..1.
        threshold: lowest similarity of a match.
        far: false-accept rate, the fraction of pairs of different people that match.
        confidence: probability that both are one person, 0..1, if half of the pairs are.
        reason: why faces that do not match may still be of one person, as in "22 px, blurred"; None: they match, or are
            of two people.
        first, second: the faces.
    """

    is_same: bool
    similarity: float
    threshold: float
    far: float
    confidence: float
    reason: str | None
    first: Face
    second: Face

    @property
    def label(self) -> str:
        """Return the answer: "same person", "different people", or "not sure" with the reason."""
        if self.is_same:
            return "same person"
        return "different people" if self.reason is None else f"not sure: {self.reason}"

    def to_dict(self) -> dict[str, object]:
        """Convert to a JSON object, numbers rounded to six decimals."""
        return {
            "same": self.is_same,
            "answer": self.label,
            "similarity": round(self.similarity, 6),
            "threshold": self.threshold,
            "far": self.far,
            "confidence": round(self.confidence, 6),
            "reason": self.reason,
        }


def verify_faces(first: Face, second: Face, metadata: GalleryMetadata, far: float) -> Verification:
    """Decide whether two faces are of one person.

    Args:
        first, second: the faces, embedded by one model.
        metadata: calibration of that model.
        far: false-accept rate.

    Raises:
        GalleryError: the rate is no fraction, the calibration has a single threshold, or the embeddings are of models
            with other dimensions.
    """
    for face in (first, second):
        if face.embedding.shape != (metadata.embedding_size,):
            raise GalleryError(
                f"a face has an embedding of {len(face.embedding)} numbers, the model has {metadata.embedding_size}; "
                "detect both faces with this model"
            )
    calibration = metadata.with_fpir(far)
    similarity = float(first.embedding.astype(np.float64) @ second.embedding.astype(np.float64))
    threshold = calibration.typical_threshold(1)
    model = calibration.open_set
    if model is None:
        assert calibration.impostor_model is not None
        is_same, reason = similarity >= threshold, None
        confidence = float(calibration.impostor_model.confidence(np.asarray(similarity), 1))
    else:
        young_threshold = _young_threshold(model, first, second, far)
        is_young = threshold <= similarity < young_threshold
        threshold = max(threshold, young_threshold)
        is_nameable = not any(model.nameable.describe_problems(face.quality) for face in (first, second))
        is_same = similarity >= threshold and is_nameable
        reason = _describe_doubt(model, first.quality, second.quality, is_young)
        score = model.prior.normalize(np.asarray(similarity), _NO_OTHERS)
        confidence = float(model.impostors.confidence(score, 1))
    if reason is None and confidence >= 0.5:
        reason = "similar, but below the threshold"
    return Verification(is_same, similarity, threshold, far, confidence, None if is_same else reason, first, second)


def _young_threshold(model: OpenSetModel, first: Face, second: Face, far: float) -> float:
    """Return the threshold of children's faces where one of two faces is a child's, else -1."""
    if model.young is None or not model.young.includes(np.stack([first.embedding, second.embedding])).any():
        return -1.0
    return model.young.impostors.threshold(far, 1)


def _describe_doubt(model: OpenSetModel, first: Quality, second: Quality, is_young: bool) -> str | None:
    """Describe what makes faces hard to compare, as in "first face 22 px, blurred"; None for good faces."""
    problems = [
        f"{which} face {problem}"
        for which, quality in (("first", first), ("second", second))
        if (problem := model.poor.describe_problems(quality)) is not None
    ]
    return ", ".join([*problems, *(["young face"] if is_young else [])]) or None
