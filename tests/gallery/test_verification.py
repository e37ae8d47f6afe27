"""Verification of two faces at a false-accept rate."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from helpers.coded_faces import SIZE
from helpers.open_set import make_open_set_model
from onelook.errors import GalleryError
from onelook.face_quality import Quality
from onelook.faces import Face
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.verification import Verification, verify_faces
from onelook.open_set import ImpostorModel

GOOD = Quality(score=0.9, size=100, sharpness=1, profile=0)


def face(similarity: float = 1.0, dimension: int = SIZE, **quality: float) -> Face:
    """Return a face of this similarity to `face()`."""
    embedding = np.zeros(dimension, np.float32)
    embedding[:2] = similarity, np.sqrt(1 - similarity**2)
    return Face(
        box=np.zeros(4),
        landmarks=np.zeros((5, 2)),
        score=0.9,
        embedding=embedding,
        quality=GOOD.model_copy(update=quality),
    )


@pytest.fixture
def calibrated(metadata: GalleryMetadata) -> GalleryMetadata:
    return metadata.model_copy(update={"open_set": make_open_set_model()})


def verify(metadata: GalleryMetadata, similarity: float, far: float = 0.01, **quality: float) -> Verification:
    return verify_faces(face(), face(similarity, **quality), metadata, far)


def test_the_threshold_is_that_of_the_prior(calibrated: GalleryMetadata) -> None:
    for far in (0.1, 0.01, 0.001):
        # The normal scores of the model are standard normal: an impostor has the prior's t distribution.
        expected = 0.2 * np.sqrt(1 + 1 / 10) * student.ppf(1 - far, 40)
        compared = verify(calibrated, 0.5, far)
        assert compared.threshold == pytest.approx(expected, abs=1.1e-4)
        assert (compared.far, compared.is_same) == (far, compared.threshold <= 0.5)


def test_the_confidence_grows_with_the_similarity(calibrated: GalleryMetadata) -> None:
    confidences = [verify(calibrated, similarity).confidence for similarity in (-0.5, 0.0, 0.3, 0.6, 0.9)]
    assert confidences == sorted(confidences) and confidences[0] < 0.3 and confidences[-1] > 0.9
    score = norm.isf(student.sf(0.6 / (0.2 * np.sqrt(1.1)), 40))
    expected = 1 / (1 + np.exp(1 + 0.8 * norm.logsf(score)))
    assert confidences[3] == pytest.approx(expected, abs=1e-6)


def test_answers_are_same_different_or_not_sure(calibrated: GalleryMetadata) -> None:
    assert verify(calibrated, 0.95).label == "same person"
    assert verify(calibrated, 0.1).label == "different people"
    assert verify(calibrated, 0.45, 1e-6).label == "not sure: similar, but below the threshold"
    assert verify(calibrated, 0.1, size=30).label == "not sure: second face 30 px"
    assert verify(calibrated, 0.95, size=30).label == "same person"
    assert verify(calibrated, 0.95, size=20).label == "not sure: second face 20 px"


def test_young_faces_need_the_similarity_of_young_faces(metadata: GalleryMetadata) -> None:
    young = metadata.model_copy(update={"open_set": make_open_set_model((1.0, *[0.0] * (SIZE - 1)))})
    assert verify(young, 0.6).label == "not sure: young face"
    assert verify(young, 0.9).label == "same person"
    assert verify(young, 0.1).label == "different people"


def test_a_calibration_with_an_impostor_model_is_enough(metadata: GalleryMetadata) -> None:
    with pytest.raises(GalleryError, match="one threshold, for a rate of"):
        verify(metadata, 0.5)
    model = ImpostorModel(mean=0.1, std=0.1, intercept=-1, slope=0.8)
    compared = verify(metadata.model_copy(update={"impostor_model": model}), 0.5, 0.001)
    assert compared.threshold == pytest.approx(norm.isf(0.001, 0.1, 0.1), abs=1.1e-4)
    assert compared.to_dict() == {
        "same": True,
        "answer": "same person",
        "similarity": 0.5,
        "threshold": compared.threshold,
        "far": 0.001,
        "confidence": round(compared.confidence, 6),
        "reason": None,
    }


@pytest.mark.parametrize("far", [0, 1, -0.1, 2, float("nan")])
def test_a_rate_that_is_no_fraction_is_refused(calibrated: GalleryMetadata, far: float) -> None:
    with pytest.raises(GalleryError, match="between 0 and 1"):
        verify(calibrated, 0.5, far)


def test_a_face_of_another_model_is_refused(calibrated: GalleryMetadata) -> None:
    with pytest.raises(GalleryError, match="embedding of 8 numbers, the model has 16"):
        verify_faces(face(), face(dimension=8), calibrated, 0.01)
