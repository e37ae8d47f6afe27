"""MTCNN's losses, computed by hand."""

from math import log

import pytest
import torch

from onelook.geometry.windows import WindowOutput
from onelook.losses.mtcnn import TaskFactors, WindowTargets, hard_mean, window_losses


def test_the_hardest_seventy_percent_are_averaged() -> None:
    losses = torch.tensor([5.0, 1, 2, 3, 4, 100, 0.5, 0.1, 6, 7, 8])
    mask = torch.tensor([True] * 5 + [False] + [True] * 5)  # ten of them: seven are hard
    assert hard_mean(losses, mask).item() == pytest.approx((8 + 7 + 6 + 5 + 4 + 3 + 2) / 7)
    assert hard_mean(losses, mask & (losses == 2)).item() == 2  # at least one
    assert hard_mean(losses, torch.zeros_like(mask)).item() == 0


def test_each_source_trains_its_own_tasks() -> None:
    """A negative, a positive, a part and a landmark window."""
    logits = torch.tensor([[0.0, 0], [0, log(3)], [9, 0], [9, 0]], requires_grad=True)
    offsets = torch.zeros(4, 4, requires_grad=True)
    points = torch.zeros(4, 10, requires_grad=True)
    targets = WindowTargets(
        is_face=torch.tensor([False, True, False, False]),
        offsets=torch.tensor([[9.0] * 4, [0.1, 0, 0, 0.2], [0.3, 0, 0, 0], [9] * 4]),
        landmarks=torch.tensor([[9.0] * 10] * 3 + [[0.5] * 8 + [torch.nan] * 2]),
        trains_classification=torch.tensor([True, True, False, False]),
        trains_box=torch.tensor([False, True, True, False]),
        trains_landmarks=torch.tensor([False, False, False, True]),
    )
    output = WindowOutput(*(each[..., None, None] for each in (logits, offsets, points)))
    losses = window_losses(output, targets, TaskFactors(1, 0.5, 2))
    classification = (log(2) + log(4 / 3)) / 2  # two of two are hard, as 1.4 is rounded up
    box, landmarks = (0.01 + 0.04 + 0.09) / 2, 8 * 0.25  # of four labeled points
    expected = {"classification": classification, "box": box, "landmarks": landmarks}
    expected["total"] = classification + 0.5 * box + 2 * landmarks
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected)
    losses["total"].backward()
    trained = [each.grad.abs().sum(1) > 0 for each in (logits, offsets, points)]
    assert [rows.tolist() for rows in trained] == [
        [True, True, False, False],
        [False, True, True, False],
        [False, False, False, True],
    ]
