"""The decision between a name, "unknown" and "not sure"."""

import numpy as np
import pytest

from helpers.open_set import make_open_set_model
from onelook.face_quality import Quality
from onelook.gallery.backend import SearchResult
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.faiss_index import TemplateIndex
from onelook.gallery.identification import Identification, identify_faces
from onelook.open_set import ImpostorModel

SIZE = 64
GOOD = Quality(score=0.9, size=100, sharpness=1, profile=0)
TEMPLATES = np.eye(SIZE, dtype=np.float32)[:10]
NAMES = [f"p{number}" for number in range(10)]


def probe(similarity: float, common: float = 0.0) -> np.ndarray:
    """Return a unit vector with this similarity to p3 and a common one to all others."""
    row = np.zeros(SIZE)
    row[:10] = common
    row[3] = similarity
    row[20] = np.sqrt(1 - (row**2).sum())
    return row.astype(np.float32)


def search(rows: np.ndarray) -> SearchResult:
    index = TemplateIndex(TEMPLATES, NAMES)
    ranking = index.search(rows)
    return SearchResult(ranking, NAMES, 10, index.moments.of_others(rows, ranking.similarities[:, 0]))


def identify(metadata: GalleryMetadata, row: np.ndarray, quality: Quality | None = GOOD) -> Identification:
    (face,) = identify_faces(search(row[None]), row[None], [quality], metadata)
    return face


@pytest.fixture
def calibrated(metadata: GalleryMetadata) -> GalleryMetadata:
    return metadata.model_copy(update={"open_set": make_open_set_model()})


def test_a_face_is_named_or_unknown(calibrated: GalleryMetadata) -> None:
    assert identify(calibrated, probe(0.9)).label == "p3"
    unknown = identify(calibrated, probe(0.3))
    assert (unknown.name, unknown.nearest, unknown.reason, unknown.label) == (None, "p3", None, "unknown")
    assert unknown.confidence < 0.5 < identify(calibrated, probe(0.9)).confidence


def test_similarity_to_everybody_raises_the_threshold(calibrated: GalleryMetadata) -> None:
    named = [identify(calibrated, probe(0.8, common)).name for common in (0.0, 0.1, 0.15, 0.19)]
    assert named[0] == "p3"
    confidences = [identify(calibrated, probe(0.8, common)).confidence for common in (0.0, 0.1, 0.15, 0.19)]
    assert confidences == sorted(confidences, reverse=True)


def test_the_decision_equals_the_score_by_hand(calibrated: GalleryMetadata) -> None:
    model = calibrated.open_set
    assert model is not None
    threshold = model.impostors.threshold(0.01, 10)
    for similarity in np.linspace(0.4, 0.95, 40):
        row = probe(float(similarity), 0.05)
        found = search(row[None])
        score = model.prior.normalize(found.ranking.similarities[:, 0], found.others)[0]
        assert (identify(calibrated, row).name == "p3") == (score >= threshold)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": 22.4}, "22 px"),
        ({"size": 39, "sharpness": 0.3}, "39 px, blurred"),
        ({"profile": 0.3}, "in profile"),
    ],
)
def test_a_poor_face_without_a_name_is_not_sure(
    calibrated: GalleryMetadata, changes: dict[str, float], reason: str
) -> None:
    face = identify(calibrated, probe(0.3), GOOD.model_copy(update=changes))
    assert (face.name, face.reason, face.label) == (None, reason, f"not sure: {reason}")
    assert face.to_dict()["reason"] == reason


def test_a_poor_face_may_be_named_and_an_unusable_one_not(calibrated: GalleryMetadata) -> None:
    assert identify(calibrated, probe(0.95), GOOD.model_copy(update={"size": 30.0})).label == "p3"
    assert identify(calibrated, probe(0.95), GOOD.model_copy(update={"size": 20.0})).label == "not sure: 20 px"
    turned = GOOD.model_copy(update={"profile": 0.3})
    assert identify(calibrated, probe(0.95), turned).label == "not sure: in profile"
    assert identify(calibrated, probe(0.95), None).label == "p3"  # not measured


def test_a_young_face_is_compared_with_other_young_faces(metadata: GalleryMetadata) -> None:
    direction = tuple(float(i == 20) for i in range(SIZE))
    young = metadata.model_copy(update={"open_set": make_open_set_model(direction)})
    assert identify(young, probe(0.75)).label == "not sure: young face"
    assert identify(young, probe(0.3)).label == "unknown"
    assert identify(young, probe(0.95)).label == "p3"  # its projection is below the limit


def test_without_an_open_set_model_one_threshold_holds(metadata: GalleryMetadata) -> None:
    poor = Quality(score=0.9, size=5, sharpness=0, profile=1)
    assert identify(metadata, probe(0.61), poor).label == "p3"
    assert identify(metadata, probe(0.59), poor).label == "unknown"
    model = ImpostorModel(mean=0.0, std=0.2, intercept=-1.0, slope=0.8)
    row = probe(0.61)
    face = identify(metadata.model_copy(update={"impostor_model": model}), row, poor)
    assert face.confidence == pytest.approx(model.confidence(np.float32(0.61), 10), abs=1e-6)


def test_the_typical_threshold_names_a_typical_face(calibrated: GalleryMetadata) -> None:
    model = calibrated.open_set
    assert model is not None
    thresholds = [model.typical_threshold(0.01, people) for people in (1, 10, 100, 1000)]
    assert thresholds == sorted(thresholds)
    assert calibrated.typical_threshold(100) == thresholds[2]
    assert calibrated.threshold_for(100) == 0.6
