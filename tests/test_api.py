"""The public functions: every type of photo, every refusal, and the questions on real faces."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onelook
from helpers.command_line import orl_image
from helpers.open_set import make_open_set_model
from helpers.photo_sources import CONVERTED, REFUSED, write_photo_files
from onelook import api
from onelook.detections import Detections
from onelook.face_quality import Quality, QualityLimits
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


@pytest.fixture(scope="module")
def recording_model() -> CalibratedModel:
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
    return CalibratedModel(predictor, metadata)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the photos and an empty folder."""
    folder = tmp_path_factory.mktemp("photos")
    write_photo_files(folder)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def gallery(recording_model: CalibratedModel, folder: Path) -> onelook.Gallery:
    return onelook.Gallery(FaissBackend(folder / "gallery", recording_model.metadata), recording_model.predictor)


@pytest.fixture
def seen(recording_model: CalibratedModel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Replace the model of the public functions, enter the folder, and return the images that the model gets."""
    predictor = recording_model.predictor
    assert isinstance(predictor, RecordingPredictor)
    monkeypatch.setattr(api, "_open_detector", lambda model, device: (predictor, DETECT))
    monkeypatch.setattr(api, "_open_model", lambda model, device: recording_model)
    monkeypatch.chdir(folder)
    predictor.images.clear()
    return predictor.images


# The box and the landmarks of the predictor: the aligned face begins with the pixels of the photo.
FACE = onelook.Face(
    box=np.array([0, 0, 112, 112], np.float32),
    landmarks=REFERENCE_LANDMARKS,
    score=0.9,
    embedding=np.array([1, 0, 0, 0], np.float32),
    quality=Quality(score=0.9, size=112, sharpness=1, profile=0),
)
FUNCTIONS: dict[str, Callable[[onelook.Gallery, Any], object]] = {
    "as_image": lambda gallery, photo: onelook.as_image(photo),
    "read_image": lambda gallery, photo: onelook.read_image(photo),
    "detect": lambda gallery, photo: onelook.detect(photo),
    "embed": lambda gallery, photo: onelook.embed(photo),
    "verify, first": lambda gallery, photo: onelook.verify(photo, FACE),
    "verify, second": lambda gallery, photo: onelook.verify(FACE, photo),
    "find": lambda gallery, photo: onelook.find(photo, "empty"),
    "identify": lambda gallery, photo: gallery.identify(photo),
    "identify_all": lambda gallery, photo: gallery.identify_all([photo]),
    "enroll": lambda gallery, photo: gallery.enroll("Ada", photo),
    "enroll, several": lambda gallery, photo: gallery.enroll("Ada", [photo]),
    "draw_faces": lambda gallery, photo: onelook.draw_faces(photo, []),
    "align_face": lambda gallery, photo: onelook.align_face(photo, FACE),
}


def expected_outcome(function: str, name: str) -> tuple[Any, np.ndarray | str, float]:
    """Return an input, and the image it becomes with its tolerance in gray levels, or the pattern of the error."""
    source = (CONVERTED.get(name) or REFUSED[name])[0]
    if function == "read_image" and not isinstance(source, str | Path):
        return source, "not a path of text; pass a str or a Path", 0
    return CONVERTED[name] if name in CONVERTED else (*REFUSED[name], 0)


@pytest.mark.parametrize("name", [*CONVERTED, *REFUSED])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_converts_or_refuses_every_input(
    function: str, name: str, gallery: onelook.Gallery, seen: list[np.ndarray]
) -> None:
    source, expected, tolerance = expected_outcome(function, name)
    if isinstance(expected, str):
        with pytest.raises(onelook.PhotoError, match=expected) as caught:
            FUNCTIONS[function](gallery, source)
        assert "\n" not in str(caught.value)
        assert not seen
        return
    result = FUNCTIONS[function](gallery, source)
    height, width = expected.shape[:2]
    # The model receives the image, or the function returns it.
    (image,) = seen or [result]
    np.testing.assert_allclose(image[:height, :width].astype(float), expected, atol=tolerance)


@pytest.mark.parametrize("kind", [str, Path])
def test_folders_are_named_by_a_str_and_a_path(
    kind: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = api._open_detector(None, "auto")[0]
    monkeypatch.setattr("onelook.gallery.gallery.open_predictor", lambda model, device: predictor)
    created = onelook.create_gallery(kind(tmp_path / "gallery"))
    assert created.enroll("Ada", orl_image(1, 1)).total == 1
    assert onelook.open_gallery(kind(tmp_path / "gallery")).people() == {"Ada": 1}
    (tmp_path / "photos").mkdir()
    assert onelook.find(orl_image(1, 1), kind(tmp_path / "photos")) == []


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
