"""Loss of FacePoseNet, by hand."""

import torch

from onelook.losses.face_pose import pose_loss


def test_the_loss_is_the_mean_squared_distance_of_faces() -> None:
    predicted = torch.zeros(2, 6)
    labels = torch.tensor([[1.0, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 3]])
    assert float(pose_loss(predicted, labels)) == (5 + 9) / 2
