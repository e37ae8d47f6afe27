import torch
from torch.nn import functional

from onelook.losses.distillation import distillation_loss


def test_the_cosine_distance_by_hand() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    teacher_embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(distillation_loss(embeddings, teacher_embeddings), torch.tensor((0 + 0.4 + 2) / 3))


def test_faces_without_a_teacher_embedding_have_no_loss_and_no_gradient() -> None:
    rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    teacher_embeddings = functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)))
    teacher_embeddings[2] = torch.nan
    loss = distillation_loss(functional.normalize(rows), teacher_embeddings)
    loss.backward()
    labeled = [0, 1, 3]
    expected = distillation_loss(functional.normalize(rows)[labeled], teacher_embeddings[labeled])
    torch.testing.assert_close(loss, expected)
    assert rows.grad is not None and rows.grad[2].abs().max() == 0 and rows.grad[labeled].abs().min() > 0


def test_the_loss_is_zero_without_any_teacher_embedding() -> None:
    rows = torch.eye(3, requires_grad=True)
    loss = distillation_loss(rows, torch.full((3, 1), torch.nan))
    loss.backward()
    assert loss.item() == 0 and rows.grad is not None and rows.grad.abs().max() == 0
