import copy
import math
from collections import deque

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from onelook.losses.metric import OIMLoss

X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def make_loss(table: list[list[float]], queue: list[list[float]], slots: int, momentum: float = 0.5) -> OIMLoss:
    """Make a loss of temperature 1/2 with the given table and queue."""
    loss = OIMLoss(3, len(table), queue=slots, momentum=momentum, temperature=0.5)
    loss(torch.tensor(queue).reshape(-1, 3), torch.full((len(queue),), -1))
    loss.table.copy_(torch.tensor(table))
    return loss


def unit(*vector: float) -> Tensor:
    return functional.normalize(torch.tensor(vector, dtype=torch.float32), dim=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_by_hand_is_a_softmax_over_table_and_queue(dtype: torch.dtype) -> None:
    loss = make_loss([X, Y], [Z], slots=4)
    face = torch.tensor([[0.5, 0.25, 0.75]], dtype=dtype)
    # Cosines over 1/2; the three empty slots of the queue are left out.
    expected = -1 + math.log(math.exp(1) + math.exp(0.5) + math.exp(1.5))
    assert loss(face, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_uses_the_entries_before_their_update() -> None:
    loss = make_loss([X, Y], [Z], slots=1)
    faces = torch.stack([unit(3, 4, 0), unit(0, 1, 1)]).requires_grad_()
    loss(faces, torch.tensor([0, -1])).backward()
    # Equation 4: ((p_t - 1) v_t + the other entries weighted by their probabilities) / temperature.
    probabilities = torch.softmax(torch.tensor([0.6, 0.8, 0.0]) / 0.5, 0)
    assert faces.grad is not None
    torch.testing.assert_close(faces.grad[0], (probabilities - torch.tensor([1.0, 0.0, 0.0])) / 0.5)
    assert not bool(faces.grad[1].any())


def test_the_table_is_updated_with_momentum_for_one_face_after_the_other() -> None:
    loss = make_loss([X, Y], [], slots=1, momentum=0.75)
    loss(torch.tensor([Y, Z]), torch.tensor([0, 0]))
    first = unit(0.75, 0.25, 0)
    second = functional.normalize(0.75 * first + 0.25 * torch.tensor(Z), dim=0)
    torch.testing.assert_close(loss.table, torch.stack([second, torch.tensor(Y)]))


def test_the_first_face_of_an_identity_becomes_its_entry() -> None:
    loss = OIMLoss(3, 2, queue=1, momentum=0.5, temperature=0.5)
    loss(torch.tensor([[0.6, 0.0, 0.8]]), torch.tensor([1]))
    torch.testing.assert_close(loss.table, torch.tensor([[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]]))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.lists(st.lists(st.integers(-1, 2), max_size=8), min_size=1, max_size=4),
)
def test_it_equals_a_loop_over_a_list_and_a_deque(seed: int, slots: int, batches: list[list[int]]) -> None:
    torch.manual_seed(seed)
    loss = OIMLoss(4, 3, queue=slots, momentum=0.3, temperature=0.2)
    table, queue = [torch.zeros(4) for _ in range(3)], deque[Tensor](maxlen=slots)
    for labels in batches:
        faces = functional.normalize(torch.randn(len(labels), 4))
        losses = []
        for face, label in zip(faces, labels, strict=True):
            if label != -1:
                scores = [math.exp(float(face @ entry) / 0.2) for entry in [*table, *queue]]
                losses.append(-math.log(scores[label] / sum(scores)))
        for face, label in zip(faces, labels, strict=True):
            if label == -1:
                queue.append(face)
            else:
                table[label] = functional.normalize(0.3 * table[label] + 0.7 * face, dim=0)
        value = loss(faces, torch.tensor(labels, dtype=torch.int64))
        assert value.item() == pytest.approx(sum(losses) / max(1, len(losses)), rel=1e-4, abs=1e-5)
    torch.testing.assert_close(loss.table, torch.stack(table))
    assert sorted(loss.queue.tolist()) == sorted(t.tolist() for t in [*queue, *[torch.zeros(4)] * (slots - len(queue))])


@given(st.integers(1, 6), st.lists(st.integers(0, 15), max_size=5))
def test_the_queue_is_circular_and_holds_the_newest_faces(slots: int, counts: list[int]) -> None:
    loss = OIMLoss(1, 1, queue=slots, momentum=0.5, temperature=1.0)
    all_faces = torch.arange(1.0, sum(counts) + 1)
    for faces in all_faces.split(counts):
        loss(faces[:, None], torch.full((len(faces),), -1))
    newest = all_faces[-slots:].tolist()
    assert sorted(loss.queue[:, 0].tolist()) == [0.0] * (slots - len(newest)) + newest
    # Every face is in the slot that a circular queue filled one by one has it in.
    assert all(loss.queue[(int(face) - 1) % slots, 0] == face for face in newest)


def test_unlabeled_faces_have_no_effect_on_the_loss_of_their_own_batch() -> None:
    loss = make_loss([X, Y], [Z], slots=2)
    faces, identities = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.6, 0.8]]), torch.tensor([0, -1])
    with_unlabeled, labeled_alone = copy.deepcopy(loss)(faces, identities), loss(faces[:1], identities[:1])
    assert torch.equal(with_unlabeled, labeled_alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_a_labeled_face_the_loss_is_zero_and_the_queue_is_filled(dtype: torch.dtype) -> None:
    loss = make_loss([X, Y], [], slots=2)
    faces = torch.tensor([Z], dtype=dtype, requires_grad=True)
    value = loss(faces, torch.tensor([-1]))
    value.backward()
    assert value.item() == 0 and faces.grad is not None and not bool(faces.grad.any())
    assert loss.queue.tolist() == [Z, [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradient_and_table_are_finite_where_the_cosine_is_one_or_minus_one(dtype: torch.dtype, sign: float) -> None:
    # With -1 and momentum 1/2 the updated entry is 0, which cannot be normalized.
    loss = OIMLoss(3, 2, queue=1, momentum=0.5, temperature=0.01)
    loss.table.copy_(torch.tensor([X, Y]))
    faces = torch.tensor([[sign, 0.0, 0.0]], dtype=dtype, requires_grad=True)
    loss(faces, torch.tensor([0])).backward()
    assert faces.grad is not None and bool(faces.grad.isfinite().all()) and bool(loss.table.isfinite().all())


def test_table_and_queue_are_fixed_in_evaluation_mode() -> None:
    loss = make_loss([X, Y], [Z], slots=2).eval()
    before = copy.deepcopy(loss.state_dict())
    loss(torch.tensor([Y, X]), torch.tensor([0, -1]))
    assert len(before) == 3 and all(torch.equal(before[name], value) for name, value in loss.state_dict().items())


def test_a_loaded_state_dict_continues_to_the_same_bits() -> None:
    torch.manual_seed(0)
    batches = [
        (functional.normalize(torch.randn(6, 3)), torch.tensor([0, -1, 1, -1, 2, last])) for last in [-1, 0, 1] * 3
    ]
    uninterrupted, resumed = (OIMLoss(3, 3, queue=4, momentum=0.5, temperature=0.1) for _ in range(2))
    for batch in batches[:4]:
        uninterrupted(*batch)
    resumed.load_state_dict(uninterrupted.state_dict())
    for batch in batches[4:]:
        assert torch.equal(uninterrupted(*batch), resumed(*batch))
    assert all(map(torch.equal, uninterrupted.state_dict().values(), resumed.state_dict().values()))
