import torch

from onelook.losses.landmark_cascade import point_loss, start_points


def test_the_loss_is_the_mean_squared_distance_of_labeled_points() -> None:
    labels = torch.full((2, 5, 2), float("nan"))
    labels[0, 0] = torch.tensor([1.0, 2.0])
    labels[0, 3] = torch.tensor([0.0, 0.0])
    labels[1, 0] = torch.tensor([0.0, 1.0])
    estimates = torch.zeros(2, 3, 5, 2, requires_grad=True)
    # The first network has points 0 and 3, the second 3 alone, the third a point without a label.
    has = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 1, 0, 0, 0]], dtype=torch.bool)
    loss = point_loss(estimates, has, labels)
    torch.testing.assert_close(loss, torch.tensor((5 + 0 + 1) / 3 + 0 + 0))
    loss.backward()
    assert estimates.grad is not None and estimates.grad.isfinite().all()
    torch.testing.assert_close(estimates.grad[0, 0, 0], torch.tensor([-2 / 3, -4 / 3]))


def test_unlabeled_points_start_where_they_are_predicted() -> None:
    labels = torch.full((1, 5, 2), float("nan"))
    labels[0, 2] = 1.0
    points = start_points(labels, torch.full((1, 5, 2), 7.0), torch.full((1, 5, 2), 0.25))
    assert points[0, :, 0].tolist() == [7, 7, 1.25, 7, 7]
