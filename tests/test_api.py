"""The public functions: every type of photo, every refusal, and the questions on real faces."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onelook
from helpers.command_line import orl_image
from helpers.open_set import make_open_set_model
from helpers.photo_sources import CONVERTED, REFUSED
from onelook import api
from onelook.data.image_input import as_image
from onelook.detections import Detections
from onelook.face_quality import QualityLimits
from onelook.gallery.calibrated_model import CalibratedModel
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.settings import DetectSettings

DETECT = DetectSettings()


class RecordingPredictor:
    """A predictor that keeps the images it is given, and finds the same face in each."""

    fingerprint = "a" * 64
    embedding_size = 4
    has_mesh_head = False
    min_batch_size = 1

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings) -> list[Detections]:
        self.images += images
        box, embedding = np.array([[0, 0, 112, 112]], np.float32), np.array([[1, 0, 0, 0]], np.float32)
        return [Detections(box, np.array([0.9], np.float32), REFERENCE_LANDMARKS[None], embedding) for _ in images]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> RecordingPredictor:
    """Replace the model of the public functions."""
    predictor = RecordingPredictor()
    no_limits = QualityLimits(size=0, sharpness=0)
    metadata = GalleryMetadata(
        fingerprint=predictor.fingerprint,
        embedding_size=4,
        threshold=0.5,
        target_fpir=0.01,
        detect=DETECT,
        managed=False,
        open_set=make_open_set_model().model_copy(update={"poor": no_limits, "unusable": no_limits}),
    )
    monkeypatch.setattr(api, "_open_detector", lambda model, device: (predictor, DETECT))
    monkeypatch.setattr(api, "_open_model", lambda model, device: CalibratedModel(predictor, metadata))
    return predictor


@pytest.fixture
def functions(recorder: RecordingPredictor, tmp_path: Path) -> dict[str, Callable[[Any], object]]:
    """Return every public function that takes a photo, by name."""
    gallery = onelook.Gallery(FaissBackend(tmp_path / "gallery", api._open_model(None, "cpu").metadata), recorder)
    (tmp_path / "empty").mkdir()
    face = api.detect(np.zeros((8, 8), np.uint8))[0]
    return {
        "detect": onelook.detect,
        "embed": onelook.embed,
        "verify": lambda photo: onelook.verify(face, photo),
        "find": lambda photo: onelook.find(photo, tmp_path / "empty"),
        "identify": gallery.identify,
        "identify_all": lambda photo: gallery.identify_all([photo]),
        "enroll": lambda photo: gallery.enroll("Ada", [photo]),
        "draw_faces": lambda photo: onelook.draw_faces(photo, [face]),
        "align_face": lambda photo: onelook.align_face(photo, face),
    }


@pytest.mark.parametrize("name", CONVERTED)
def test_every_function_converts_every_type_of_photo(
    name: str, functions: dict[str, Callable[[Any], object]], recorder: RecordingPredictor
) -> None:
    source = CONVERTED[name][0]
    for function in functions.values():
        recorder.images.clear()
        function(source)
        for image in recorder.images:
            np.testing.assert_array_equal(image, as_image(source))


@pytest.mark.parametrize("name", REFUSED)
def test_every_function_refuses_what_is_no_photo(name: str, functions: dict[str, Callable[[Any], object]]) -> None:
    source, message = REFUSED[name]
    for function_name, function in functions.items():
        with pytest.raises(onelook.PhotoError, match=message):
            function(source)
            pytest.fail(f"{function_name} accepted it")


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1, 3), (2, 2, 4)])
def test_tiny_and_narrow_photos_have_no_face(shape: tuple[int, ...]) -> None:
    assert onelook.detect(np.zeros(shape, np.uint8)) == []
    assert onelook.embed(np.full(shape, 255, np.uint8)).shape == (0, onelook.embed(orl_image(1, 1)).shape[1])


def test_faces_embeddings_and_decisions_fit_together() -> None:
    two = np.concatenate([orl_image(1, 1), orl_image(2, 1)], axis=1)
    faces = onelook.detect(two)
    np.testing.assert_array_equal(
        np.stack([face.embedding for face in faces]), onelook.embed(two[:, :, ::-1], color="bgr")
    )
    alone = onelook.detect(orl_image(1, 2))[0]
    decisions = [onelook.verify(face, orl_image(1, 2)) for face in faces]
    assert sorted(each.label for each in decisions) == ["different people", "same person"]
    for face, decision in zip(faces, decisions, strict=True):
        assert decision.similarity == pytest.approx(float(face.embedding @ alone.embedding), abs=1e-6)
    with pytest.raises(onelook.PhotoError, match=r"array: 2 faces found \(1: .*onelook.detect"):
        onelook.verify(alone, two)
    assert onelook.verify(two, alone, face="largest").second is alone


@pytest.mark.shared_data
def test_twelve_enrolled_portraits_are_identified_when_they_smile(shared_data: Path, tmp_path: Path) -> None:
    gallery = onelook.create_gallery(tmp_path / "gallery")
    neutral = sorted((shared_data / "portraits").glob("*_neutral.jpg"))
    assert len(neutral) == 12
    for photo in neutral:
        gallery.enroll(photo.name[:3], photo)
    smiling = [photo.with_name(f"{photo.name[:3]}_smiling.jpg") for photo in neutral]
    answers = [face for photo in smiling for face in gallery.identify(photo)]
    assert [face.nearest for face in answers] == [photo.name[:3] for photo in neutral]
    assert all(onelook.verify(*pair).is_same for pair in zip(neutral, smiling, strict=True))
    # One of them may look too young to be sure; a wrong name is never right.
    assert [face.reason for face in answers if face.name is None] in ([], ["young face"])
