import torch
from torch.nn import functional

from onelook.losses.distillation import distillation_loss, similarity_loss


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


def random_rows(count: int, dim: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)))


def test_the_difference_of_similarities_by_hand() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    teacher_embeddings = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    expected = 2 * (0.6**2 + 0 + (0.8 - 1) ** 2) / 9  # each pair in both orders, and three faces with themselves
    torch.testing.assert_close(similarity_loss(embeddings, teacher_embeddings), torch.tensor(expected))


def test_similarities_do_not_depend_on_a_rotation_of_the_embeddings() -> None:
    teacher_embeddings = random_rows(6, 4, 0)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    assert similarity_loss(teacher_embeddings @ rotation, teacher_embeddings) < 1e-10
    assert distillation_loss(teacher_embeddings @ rotation, teacher_embeddings) > 0.1


def test_similarities_of_faces_without_a_teacher_embedding_are_left_out() -> None:
    rows = random_rows(5, 8, 0).requires_grad_()
    teacher_embeddings = random_rows(5, 6, 1)
    teacher_embeddings[[1, 3]] = torch.nan
    loss = similarity_loss(rows, teacher_embeddings)
    loss.backward()
    labeled = [0, 2, 4]
    torch.testing.assert_close(loss, similarity_loss(rows[labeled], teacher_embeddings[labeled]))
    assert rows.grad is not None and rows.grad[[1, 3]].abs().max() == 0 and rows.grad[labeled].abs().min() > 0
    assert similarity_loss(rows, torch.full((5, 6), torch.nan)).item() == 0
