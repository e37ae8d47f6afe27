"""The mesh teacher on real faces: the embedded default data."""

import numpy as np
import pytest

from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.geometry.mesh import NOSE_TIP, NUM_VERTICES, mesh_to_landmarks, mirror_permutation
from onelook.inference.torch_predictor import public_detector
from onelook.model.mesh_teacher import MeshTeacher
from onelook.settings import DetectSettings

pytest.importorskip("ai_edge_litert", reason="pip install 'onelook[mesh]'")

Face = tuple[np.ndarray, np.ndarray]
"""Box and landmarks."""


@pytest.fixture(scope="module")
def teacher() -> MeshTeacher:
    return MeshTeacher()


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [upscale_image(image.read(), 3.0).image for image in read_orl().images[::40]]


@pytest.fixture(scope="module")
def faces(images: list[np.ndarray]) -> list[Face]:
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    detections = public_detector().predict(images, detect, embed=False)
    return [(each.boxes[0], each.landmarks[0]) for each in detections]


def test_meshes_agree_with_the_landmarks_of_the_detector(
    teacher: MeshTeacher, images: list[np.ndarray], faces: list[Face]
) -> None:
    meshes = [teacher.predict(image, *face) for image, face in zip(images, faces, strict=True)]
    labeled = [(mesh, face) for mesh, face in zip(meshes, faces, strict=True) if mesh is not None]
    assert len(labeled) >= 8
    for mesh, (box, landmarks) in labeled:
        assert mesh.shape == (NUM_VERTICES, 3) and mesh.dtype == np.float32
        size = np.sqrt((box[2:] - box[:2]).prod())
        # The nose is not among the landmarks that `predict` compares.
        assert np.linalg.norm(mesh_to_landmarks(mesh)[2] - landmarks[2]) < 0.15 * size
        assert mesh[NOSE_TIP, 2] < np.median(mesh[:, 2]), "depth grows away from the camera"
        left = mesh[mirror_permutation() != np.arange(NUM_VERTICES), 0].mean()
        assert abs(left - mesh[:, 0].mean()) < 0.1 * size


def test_mesh_that_disagrees_with_the_landmarks_is_refused(
    teacher: MeshTeacher, images: list[np.ndarray], faces: list[Face]
) -> None:
    box, landmarks = faces[0]
    assert teacher.predict(images[0], box, landmarks) is not None
    assert teacher.predict(images[0], box, landmarks + 0.2 * (box[2] - box[0])) is None
    assert teacher.predict(images[0], box, np.full((5, 2), np.nan, np.float32)) is None
    noise = np.random.default_rng(0).integers(0, 255, images[0].shape, np.uint8)
    assert teacher.predict(noise, box, landmarks) is None


def test_mesh_scales_with_the_image(teacher: MeshTeacher, images: list[np.ndarray], faces: list[Face]) -> None:
    box, landmarks = faces[0]
    mesh = teacher.predict(images[0], box, landmarks)
    doubled_image = upscale_image(images[0], 1.0).image.repeat(2, 0).repeat(2, 1)
    doubled = teacher.predict(doubled_image, box * 2, landmarks * 2)
    assert mesh is not None and doubled is not None
    np.testing.assert_allclose(doubled, mesh * 2, atol=0.02 * float(box[2] - box[0]))
