from pathlib import Path

import numpy as np
import pytest

from helpers.recognizer import MEAN, STD, random_weights, write_recognizer
from onelook.geometry.alignment import REFERENCE_LANDMARKS, align_crop
from onelook.model.recognizer import Recognizer
from onelook.model.teacher import Teacher
from onelook.settings import RecognizerSettings, TeacherSettings

Faces = tuple[list[np.ndarray], np.ndarray]


@pytest.fixture
def faces() -> Faces:
    """Three photos, and the landmarks of a face in each."""
    rng = np.random.default_rng(2)
    photos = [rng.integers(0, 256, (200, 220, 3), dtype=np.uint8) for _ in range(3)]
    return photos, np.stack([REFERENCE_LANDMARKS * scale + 20 for scale in (1.0, 1.4, 0.8)])


def test_embeddings_of_several_recognizers_are_concatenated_and_normalized(tmp_path: Path, faces: Faces) -> None:
    photos, landmarks = faces
    first = write_recognizer(tmp_path / "first.onnx", random_weights(0))
    other = write_recognizer(tmp_path / "other.onnx", random_weights(1))
    plain = RecognizerSettings(path=other.path, mean=MEAN, std=STD)
    teacher = Teacher(first.model_copy(update={"others": (plain,)}))
    assert teacher.dim == 16
    crops = np.stack([align_crop(photo, points) for photo, points in zip(photos, landmarks, strict=True)])
    alone = [Recognizer(each).embed(crops) for each in (first, plain)]
    embeddings = teacher.embed_faces(photos, landmarks)
    np.testing.assert_allclose(embeddings, np.concatenate(alone, axis=1) / np.sqrt(2), atol=1e-5)
    # The similarity of two faces is the mean of those of the recognizers.
    mean_similarity = (alone[0] @ alone[0].T + alone[1] @ alone[1].T) / 2
    np.testing.assert_allclose(embeddings @ embeddings.T, mean_similarity, atol=1e-5)


def test_a_recognizer_sees_the_crop_of_its_own_template(tmp_path: Path, faces: Faces) -> None:
    photos, landmarks = faces
    settings = write_recognizer(tmp_path / "recognizer.onnx", random_weights())
    template = REFERENCE_LANDMARKS * 0.8 + 10
    tree = settings.model_dump() | {"template": template.tolist()}
    embeddings = Teacher(TeacherSettings.model_validate(tree)).embed_faces(photos, landmarks)
    crops = np.stack([align_crop(*face, template=template) for face in zip(photos, landmarks, strict=True)])
    np.testing.assert_allclose(embeddings, Recognizer(settings).embed(crops), atol=1e-5)
