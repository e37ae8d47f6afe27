"""Enrollment of poor faces, and of photos with boxes that are far less sure than the best."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import CodedPredictor
from helpers.open_set import make_open_set_model
from onelook.detections import Detections
from onelook.errors import PhotoError
from onelook.gallery import storage
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.settings import DetectSettings

Photo = Callable[..., Path]


class ScoredPredictor(CodedPredictor):
    """A predictor whose two faces have given scores."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self._scores = np.asarray(scores, np.float32)

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Replace the scores of the coded faces."""
        return [
            replace(found, scores=self._scores[: len(found)]) for found in super().predict(images, detect, embed=embed)
        ]


def open_gallery(folder: Path, metadata: GalleryMetadata, predictor: CodedPredictor) -> Gallery:
    return Gallery(FaissBackend(folder / "gallery", metadata), predictor)


@pytest.fixture
def calibrated(metadata: GalleryMetadata) -> GalleryMetadata:
    return metadata.model_copy(update={"open_set": make_open_set_model()})


def test_a_box_far_less_sure_does_not_stop_an_enrollment(
    tmp_path: Path, metadata: GalleryMetadata, photo: Photo
) -> None:
    gallery = open_gallery(tmp_path, metadata, ScoredPredictor([0.6, 0.9995]))
    gallery.enroll("Anna", [photo(1, 2)])
    other = open_gallery(tmp_path / "other", metadata, CodedPredictor())
    other.enroll("Anna", [photo(2)])
    np.testing.assert_array_equal(storage.read(gallery.location).embeddings, storage.read(other.location).embeddings)


def test_a_second_face_almost_as_sure_stops_an_enrollment(
    tmp_path: Path, metadata: GalleryMetadata, photo: Photo
) -> None:
    gallery = open_gallery(tmp_path, metadata, ScoredPredictor([0.98, 0.9995]))  # log odds 3.9 and 7.6
    with pytest.raises(PhotoError, match="2 faces found"):
        gallery.enroll("Anna", [photo(1, 2)])


def test_poor_faces_are_enrolled_with_a_warning(tmp_path: Path, calibrated: GalleryMetadata, photo: Photo) -> None:
    gallery = open_gallery(tmp_path, calibrated, CodedPredictor())
    good, poor = photo(1), photo(1, variant=1, side=30)
    enrollment = gallery.enroll("Anna", [good, poor])
    assert (enrollment.added, enrollment.warnings) == (2, (f"{poor}: 30 px",))
    assert gallery.enroll("Anna", [poor]).warnings == ()  # enrolled before
    report = gallery.enroll_all([EnrollmentItem("Bob", photo(2)), EnrollmentItem("Bob", photo(2, variant=1, side=28))])
    assert report.warnings == (f"{photo(2, variant=1, side=28)}: 28 px",)
    with pytest.raises(PhotoError, match="20 pixels large, 24 are needed"):
        gallery.enroll("Anna", [photo(1, side=20)])


def test_the_calibration_is_stored_and_read_with_the_gallery(
    tmp_path: Path, calibrated: GalleryMetadata, photo: Photo
) -> None:
    gallery = open_gallery(tmp_path, calibrated, CodedPredictor())
    gallery.enroll("Anna", [photo(1)])
    data = storage.read(gallery.location)
    assert data.metadata == calibrated
    assert data.faces[0].quality is not None
    assert data.faces[0].quality.profile == pytest.approx(0, abs=0.02)


def test_measured_quality_decides_about_unnamed_faces(
    tmp_path: Path, calibrated: GalleryMetadata, photo: Photo
) -> None:
    gallery = open_gallery(tmp_path, calibrated, CodedPredictor())
    for person in range(1, 9):
        gallery.enroll(f"p{person}", [photo(person)])
    assert gallery.identify(photo(20))[0].label == "unknown"
    assert gallery.identify(photo(20, side=30))[0].label == "not sure: 30 px"
