"""The labeling network on real faces: the embedded default data."""

import numpy as np
import pytest

from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.geometry.mesh import NOSE_TIP, NUM_VERTICES, mesh_to_landmarks, mirror_permutation
from onelook.inference.torch_predictor import public_detector
from onelook.model.mesh_teacher import MeshTeacher
from onelook.settings import DetectSettings

pytest.importorskip("ai_edge_litert", reason="pip install 'onelook[mesh]'")


@pytest.fixture(scope="module")
def finder() -> MeshTeacher:
    return MeshTeacher()


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [upscale_image(portrait.read(), 3.0).image for portrait in read_orl().images[::40]]


@pytest.fixture(scope="module")
def found(photos: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Box and landmarks of the face in each."""
    looker, detect = public_detector(), DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    seen = looker.predict(photos, detect, embed=False)
    return [(each.boxes[0], each.landmarks[0]) for each in seen]


def test_meshes_agree_with_the_landmarks_of_another_network(
    finder: MeshTeacher, photos: list[np.ndarray], found: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    meshes = [finder.find(photo, *face) for photo, face in zip(photos, found, strict=True)]
    kept = [(mesh, face) for mesh, face in zip(meshes, found, strict=True) if mesh is not None]
    assert len(kept) >= 8
    for mesh, (box, landmarks) in kept:
        assert mesh.shape == (NUM_VERTICES, 3) and mesh.dtype == np.float32
        size = np.sqrt((box[2:] - box[:2]).prod())
        # Not those that agreement is asked of: the nose, which is between the eyes and the mouth, and nearest.
        assert np.linalg.norm(mesh_to_landmarks(mesh)[2] - landmarks[2]) < 0.15 * size
        assert mesh[NOSE_TIP, 2] < np.median(mesh[:, 2]), "depth grows away from the camera"
        left = mesh[mirror_permutation() != np.arange(NUM_VERTICES), 0].mean()
        assert abs(left - mesh[:, 0].mean()) < 0.1 * size


def test_a_mesh_of_another_face_and_of_none_is_not_kept(
    finder: MeshTeacher, photos: list[np.ndarray], found: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    box, landmarks = found[0]
    assert finder.find(photos[0], box, landmarks) is not None
    assert finder.find(photos[0], box, landmarks + 0.2 * (box[2] - box[0])) is None
    assert finder.find(photos[0], box, np.full((5, 2), np.nan, np.float32)) is None
    noise = np.random.default_rng(0).integers(0, 255, photos[0].shape, np.uint8)
    assert finder.find(noise, box, landmarks) is None


def test_a_larger_photo_has_the_same_mesh_at_its_size(
    finder: MeshTeacher, photos: list[np.ndarray], found: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    box, landmarks = found[0]
    once = finder.find(photos[0], box, landmarks)
    twice = finder.find(upscale_image(photos[0], 1.0).image.repeat(2, 0).repeat(2, 1), box * 2, landmarks * 2)
    assert once is not None and twice is not None
    np.testing.assert_allclose(twice, once * 2, atol=0.02 * float(box[2] - box[0]))
