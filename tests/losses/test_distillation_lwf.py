import math

import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.losses.distillation import lwf_loss


def make_outputs(logits: list[list[float]], box: float = 0.0) -> AnchorOutputs:
    count = len(logits)
    return AnchorOutputs(torch.tensor([logits]), torch.full((1, count, 4), box), torch.zeros(1, count, 10))


def test_equal_outputs_have_no_loss() -> None:
    teacher = make_outputs([[0.0, 3.0], [6.0, 0.0]])
    assert lwf_loss(teacher, teacher).item() == 0


def test_the_divergence_of_one_anchor_by_hand() -> None:
    teacher, student = make_outputs([[0.0, 0.0]]), make_outputs([[0.0, math.log(3)]])
    # Probabilities of teacher (1/2, 1/2) and student (1/4, 3/4); the sum of face probabilities, 1/2, is raised to 1.
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    torch.testing.assert_close(lwf_loss(student, teacher), torch.tensor(expected), atol=1e-6, rtol=0)


def test_boxes_are_weighted_by_the_face_probability_of_the_teacher() -> None:
    logits = [[0.0, 50.0], [50.0, 0.0]]
    loss = lwf_loss(make_outputs(logits, box=2.0), make_outputs(logits))
    torch.testing.assert_close(loss, torch.tensor(4 * 1.5), atol=1e-5, rtol=0)


def test_a_new_false_positive_has_a_loss() -> None:
    teacher, student = make_outputs([[9.0, 0.0]]), make_outputs([[0.0, 2.0]])
    assert lwf_loss(student, teacher).item() > 1
