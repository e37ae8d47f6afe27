import torch
from torch.nn import functional

from onelook.losses.distillation import distillation_loss


def test_by_hand_on_the_circle() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    teacher_embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(distillation_loss(embeddings, teacher_embeddings), torch.tensor((0 + 0.4 + 2) / 3))


def test_faces_without_a_teacher_neither_count_nor_pull() -> None:
    rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    teacher_embeddings = functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)))
    teacher_embeddings[2] = torch.nan
    loss = distillation_loss(functional.normalize(rows), teacher_embeddings)
    loss.backward()
    kept = [0, 1, 3]
    torch.testing.assert_close(loss, distillation_loss(functional.normalize(rows)[kept], teacher_embeddings[kept]))
    assert rows.grad is not None and rows.grad[2].abs().max() == 0 and rows.grad[kept].abs().min() > 0


def test_no_taught_face_is_no_loss() -> None:
    rows = torch.eye(3, requires_grad=True)
    loss = distillation_loss(rows, torch.full((3, 1), torch.nan))
    loss.backward()
    assert loss.item() == 0 and rows.grad is not None and rows.grad.abs().max() == 0
