import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.losses.metric import CenterLoss


def loss_with(centers: list[list[float]], rate: float = 0.5) -> CenterLoss:
    loss = CenterLoss(len(centers[0]), len(centers), rate=rate)
    loss.centers.copy_(torch.tensor(centers))
    return loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_value_and_gradient_by_hand(dtype: torch.dtype) -> None:
    loss = loss_with([[0.0, 0.0], [2.0, 0.0]])
    embeddings = torch.tensor([[1.0, 1.0], [2.0, -4.0]], dtype=dtype, requires_grad=True)
    value = loss(embeddings, torch.tensor([0, 1]))
    value.backward()
    assert value.item() == (0.5 * 2 + 0.5 * 16) / 2
    # Equation 3, over the two faces of the mean: x - c, where c is the center before it moved.
    assert embeddings.grad is not None and embeddings.grad.tolist() == [[0.5, 0.5], [0.0, -2.0]]


def test_the_centers_move_by_the_papers_update() -> None:
    loss = loss_with([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    loss(torch.tensor([[3.0, 0.0], [0.0, 3.0], [2.0, -4.0]]), torch.tensor([0, 0, 1]))
    # Equation 4 at alpha 1/2: two faces give a third of the sum of offsets, one face half of it, none nothing.
    torch.testing.assert_close(loss.centers, torch.tensor([[0.5, 0.5], [2.0, -1.0], [5.0, 5.0]]))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-1, 3), max_size=8), st.floats(0, 1))
def test_it_agrees_with_a_loop_over_the_classes(seed: int, labels: list[int], rate: float) -> None:
    torch.manual_seed(seed)
    start, embeddings = torch.randn(4, 3), torch.randn(len(labels), 3)
    loss = loss_with(start.tolist(), rate)
    halves, moved = [], start.clone()
    for identity in range(4):
        offsets = [start[identity] - x for x, label in zip(embeddings, labels, strict=True) if label == identity]
        halves += [offset.square().sum().item() / 2 for offset in offsets]
        moved[identity] -= rate * sum(offsets, torch.zeros(3)) / (1 + len(offsets))
    value = loss(embeddings, torch.tensor(labels, dtype=torch.int64))
    assert value.item() == pytest.approx(sum(halves) / max(1, len(halves)), rel=1e-4)
    torch.testing.assert_close(loss.centers, moved)


def test_a_class_seen_again_and_again_has_its_mean_for_a_center() -> None:
    loss = CenterLoss(2, 1, rate=0.5)
    for _ in range(60):
        loss(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    torch.testing.assert_close(loss.centers, torch.tensor([[0.5, 0.5]]))


def test_outside_training_the_centers_stay() -> None:
    loss = loss_with([[0.0, 0.0], [2.0, 0.0]]).eval()
    loss(torch.ones(2, 2), torch.tensor([0, 1]))
    assert loss.centers.tolist() == [[0.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_any_identity_loss_and_gradient_are_zero_and_the_centers_stay(dtype: torch.dtype) -> None:
    loss = loss_with([[1.0, 2.0]])
    embeddings = torch.ones(3, 2, dtype=dtype, requires_grad=True)
    value = loss(embeddings, torch.full((3,), -1))
    value.backward()
    assert value.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())
    assert loss.centers.tolist() == [[1.0, 2.0]]


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped() -> None:
    torch.manual_seed(0)
    batches = [(torch.randn(5, 3), torch.randint(-1, 4, (5,))) for _ in range(6)]
    whole, resumed = CenterLoss(3, 4, rate=0.5), CenterLoss(3, 4, rate=0.5)
    before = [whole(*batch) for batch in batches[:3]]
    resumed.load_state_dict(whole.state_dict())
    assert len(before) == 3 and bool(whole.centers.any())
    for batch in batches[3:]:
        assert torch.equal(whole(*batch), resumed(*batch))
