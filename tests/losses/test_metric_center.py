import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.losses.metric import CenterLoss


def make_loss(centers: list[list[float]], alpha: float = 0.5) -> CenterLoss:
    loss = CenterLoss(len(centers[0]), len(centers), alpha=alpha)
    loss.centers.copy_(torch.tensor(centers))
    return loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_value_and_gradient_by_hand(dtype: torch.dtype) -> None:
    loss = make_loss([[0.0, 0.0], [2.0, 0.0]])
    embeddings = torch.tensor([[1.0, 1.0], [2.0, -4.0]], dtype=dtype, requires_grad=True)
    value = loss(embeddings, torch.tensor([0, 1]))
    value.backward()
    assert value.item() == (0.5 * 2 + 0.5 * 16) / 2
    # Equation 3, divided by the two faces of the mean: x - c, with the center c before its update.
    assert embeddings.grad is not None and embeddings.grad.tolist() == [[0.5, 0.5], [0.0, -2.0]]


def test_the_centers_are_updated_as_in_the_paper() -> None:
    loss = make_loss([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    loss(torch.tensor([[3.0, 0.0], [0.0, 3.0], [2.0, -4.0]]), torch.tensor([0, 0, 1]))
    # Equation 4 with alpha 1/2: a third of the sum of offsets for two faces, half of it for one, nothing for none.
    torch.testing.assert_close(loss.centers, torch.tensor([[0.5, 0.5], [2.0, -1.0], [5.0, 5.0]]))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-1, 3), max_size=8), st.floats(0, 1))
def test_it_equals_a_loop_over_the_classes(seed: int, labels: list[int], alpha: float) -> None:
    torch.manual_seed(seed)
    initial, embeddings = torch.randn(4, 3), torch.randn(len(labels), 3)
    loss = make_loss(initial.tolist(), alpha)
    losses, updated = [], initial.clone()
    for identity in range(4):
        offsets = [initial[identity] - x for x, label in zip(embeddings, labels, strict=True) if label == identity]
        losses += [offset.square().sum().item() / 2 for offset in offsets]
        updated[identity] -= alpha * sum(offsets, torch.zeros(3)) / (1 + len(offsets))
    value = loss(embeddings, torch.tensor(labels, dtype=torch.int64))
    assert value.item() == pytest.approx(sum(losses) / max(1, len(losses)), rel=1e-4)
    torch.testing.assert_close(loss.centers, updated)


def test_the_center_converges_to_the_mean_of_its_class() -> None:
    loss = CenterLoss(2, 1, alpha=0.5)
    for _ in range(60):
        loss(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    torch.testing.assert_close(loss.centers, torch.tensor([[0.5, 0.5]]))


def test_the_centers_are_fixed_in_evaluation_mode() -> None:
    loss = make_loss([[0.0, 0.0], [2.0, 0.0]]).eval()
    loss(torch.ones(2, 2), torch.tensor([0, 1]))
    assert loss.centers.tolist() == [[0.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_gradient_and_update_are_zero_without_a_labeled_face(dtype: torch.dtype) -> None:
    loss = make_loss([[1.0, 2.0]])
    embeddings = torch.ones(3, 2, dtype=dtype, requires_grad=True)
    value = loss(embeddings, torch.full((3,), -1))
    value.backward()
    assert value.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())
    assert loss.centers.tolist() == [[1.0, 2.0]]


def test_a_loaded_state_dict_continues_to_the_same_bits() -> None:
    torch.manual_seed(0)
    batches = [(torch.randn(5, 3), torch.randint(-1, 4, (5,))) for _ in range(6)]
    uninterrupted, resumed = CenterLoss(3, 4, alpha=0.5), CenterLoss(3, 4, alpha=0.5)
    for batch in batches[:3]:
        uninterrupted(*batch)
    resumed.load_state_dict(uninterrupted.state_dict())
    assert bool(uninterrupted.centers.any())
    for batch in batches[3:]:
        assert torch.equal(uninterrupted(*batch), resumed(*batch))
