"""SIFT descriptors at given points: order, scale, and equality under a change of resolution."""

import cv2
import numpy as np
import torch

from onelook.data.sift_features import describe_face, describe_points
from onelook.geometry.face_squares import FACE_EXTENT, FACE_SIDE

POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def textured_face() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (18, 18), dtype=np.uint8)
    return cv2.resize(noise, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_CUBIC)


def test_each_point_has_its_own_128_numbers_in_order() -> None:
    face = textured_face()
    features = describe_face(face, POINTS, 96)
    assert features.shape == (640,) and features.min() >= 0 and 0.3 < features.max() <= 1
    turned = describe_face(face, POINTS[::-1], 96)
    np.testing.assert_array_equal(turned.reshape(5, 128)[::-1], features.reshape(5, 128))
    outside = describe_face(face, np.full((5, 2), 9.0), 96)
    assert outside.shape == (640,)


def test_a_shifted_face_has_the_same_descriptors_at_shifted_points() -> None:
    face = textured_face()
    shifted = np.roll(face, 8, axis=1)
    moved = POINTS + np.array([8 / FACE_SIDE * FACE_EXTENT, 0])
    np.testing.assert_allclose(describe_face(shifted, moved, 96), describe_face(face, POINTS, 96), atol=0.02)


def test_a_batch_has_the_rows_of_its_faces() -> None:
    faces = torch.from_numpy(np.stack([textured_face(), textured_face().T]).copy())[:, None].float()
    points = torch.from_numpy(np.stack([POINTS, POINTS + 0.05])).float()
    batch = describe_points(faces, points, 48)
    for row, face in enumerate(faces):
        expected = describe_face(face[0].byte().numpy(), points[row].numpy(), 48)
        np.testing.assert_array_equal(batch[row].numpy(), expected)
    assert describe_points(faces[:0], points[:0], 48).shape == (0, 640)
