import math

import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.losses.distillation import lwf_loss


def outputs(logits: list[list[float]], box: float = 0.0) -> AnchorOutputs:
    count = len(logits)
    return AnchorOutputs(torch.tensor([logits]), torch.full((1, count, 4), box), torch.zeros(1, count, 10))


def test_staying_put_costs_nothing() -> None:
    teacher = outputs([[0.0, 3.0], [6.0, 0.0]])
    assert lwf_loss(teacher, teacher).item() == 0


def test_the_divergence_of_one_doubtful_anchor_by_hand() -> None:
    teacher, student = outputs([[0.0, 0.0]]), outputs([[0.0, math.log(3)]])
    # The teacher says 1/2, 1/2 and the student 1/4, 3/4; the face mass of 1/2 counts as 1.
    wanted = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    torch.testing.assert_close(lwf_loss(student, teacher), torch.tensor(wanted), atol=1e-6, rtol=0)


def test_boxes_count_by_the_teacher_s_face_probability() -> None:
    teacher, student = outputs([[0.0, 50.0], [50.0, 0.0]]), outputs([[0.0, 50.0], [50.0, 0.0]], box=2.0)
    torch.testing.assert_close(lwf_loss(student, teacher), torch.tensor(4 * 1.5), atol=1e-5, rtol=0)


def test_a_new_false_alarm_costs() -> None:
    teacher, student = outputs([[9.0, 0.0]]), outputs([[0.0, 2.0]])
    assert lwf_loss(student, teacher).item() > 1
