import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.training_settings import changed, identity_loss_settings, tiny_settings
from onelook.data.scene_dataset import SceneBatch
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.anchors import AnchorOutputs
from onelook.losses.detection import Matches
from onelook.training.face_sampling import draw_landmarks, sample_landmarks, select_faces


def make_batch(boxes: Tensor, landmarks: Tensor, identities: Tensor) -> SceneBatch:
    return SceneBatch(
        images=torch.zeros(1, 3, 96, 96, dtype=torch.uint8),
        boxes=boxes[None],
        landmarks=landmarks[None],
        identities=identities[None],
        teacher_embeddings=None,
        meshes=None,
        ignored=None,
        face_counts=(len(boxes),),
    )


@pytest.mark.parametrize(("loss", "expected"), [("arcface", [0, 1]), ("oim", [0, 1, -1])])
def test_unlabeled_faces_are_selected_for_oim_unless_cut_or_too_small(loss: str, expected: list[int]) -> None:
    """Augmentation removes the identity of a cut or small face, so it must not count as another person."""
    settings = changed(identity_loss_settings(loss), augment={"min_identity_size": 20})
    face = REFERENCE_LANDMARKS * 0.4 + np.float32(20)
    cut, absent = face - np.array([50, 0], np.float32), np.full((5, 2), np.nan, np.float32)
    landmarks = torch.from_numpy(np.stack([face, face, face, face, cut, absent]))
    boxes = torch.tensor([[20.0, 20.0, 60.0, 60.0]]).repeat(6, 1)
    boxes[3, 2:] = 35  # too small
    identities = torch.tensor([0, 1, -1, -1, -1, -1])
    images, rows, counts = select_faces(make_batch(boxes, landmarks, identities), settings.train)
    assert identities[rows].tolist() == expected and not images.any() and counts == (len(expected),)


def test_the_fraction_of_predicted_landmarks_grows_from_zero_to_the_setting() -> None:
    count = 2000
    settings = changed(tiny_settings(epochs=3), augment={"landmark_jitter": 0, "predicted_landmark_fraction": 0.8})
    batch = make_batch(
        torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(count, 1), torch.zeros(count, 5, 2), torch.zeros(count).long()
    )
    # Each face has one anchor, whose predicted landmarks are its center, 1.
    outputs = AnchorOutputs(torch.zeros(1, count, 2), torch.zeros(1, count, 4), torch.zeros(1, count, 10))
    matched = outputs, torch.ones(1, count, 4), Matches(torch.arange(count)[None])

    def predicted_fraction(epoch: int) -> float:
        draws = draw_landmarks(batch, settings.train, epoch, np.random.default_rng(0))
        (sampled,) = sample_landmarks(batch, draws, settings.train, matched)
        assert set(sampled.flatten(1).mean(1).tolist()) <= {0.0, 1.0}  # all points of a face, or none
        return sampled.mean().item()

    assert [predicted_fraction(epoch) for epoch in range(3)] == pytest.approx([0, 0.4, 0.8], abs=0.05)


def test_landmark_noise_is_a_fraction_of_the_face_size() -> None:
    settings = changed(tiny_settings(), augment={"landmark_jitter": 0.1})
    boxes = torch.tensor([[0.0, 0.0, 10.0, 40.0]]).repeat(2000, 1)  # size 20
    batch = make_batch(boxes, torch.full((2000, 5, 2), 50.0), torch.zeros(2000).long())
    draws = draw_landmarks(batch, settings.train, 2, np.random.default_rng(0))
    (sampled,) = sample_landmarks(batch, draws, settings.train)
    assert sampled.std().item() == pytest.approx(2, rel=0.05) and sampled.mean().item() == pytest.approx(50, abs=0.1)
