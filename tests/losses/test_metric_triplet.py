import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from torch import Tensor
from torch.nn import functional

from onelook.losses.metric import triplet_loss


def unit_circle(*degrees: float) -> Tensor:
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


def squared_distance(degrees: float) -> float:
    return 2 - 2 * math.cos(math.radians(degrees))


def test_the_hardest_semi_hard_negative_by_hand() -> None:
    # Anchor 0, positive 30: the negative at 10 is hard, those at 40 and 50 are semi-hard; 40 is the hardest of them.
    # Anchor 30, positive 0: the negatives are 20, 10 and 20 degrees away, all hard.
    loss = triplet_loss(unit_circle(0, 30, 10, 40, 50), torch.tensor([0, 0, 1, 2, 3]), margin=0.5)
    assert loss.item() == pytest.approx(squared_distance(30) - squared_distance(40) + 0.5, abs=1e-5)


def test_negatives_beyond_the_margin_have_no_loss() -> None:
    embeddings = unit_circle(0, 10, 180).requires_grad_()
    loss = triplet_loss(embeddings, torch.tensor([0, 0, 1]), margin=0.5)
    loss.backward()
    assert loss.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_value_and_gradient_equal_pytorch_metric_learning_on_its_hardest_semi_hard_triplets(
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    embeddings = functional.normalize(torch.randn(24, 8)).to(dtype).requires_grad_()
    identities = torch.randint(0, 5, (24,))
    distance = LpDistance(normalize_embeddings=False, power=2)
    values = embeddings.detach().float()
    anchors, positives, negatives = TripletMarginMiner(0.3, "semihard", distance=distance)(values, identities)
    hardest: dict[tuple[int, int], tuple[float, int]] = {}
    for anchor, positive, negative in zip(anchors.tolist(), positives.tolist(), negatives.tolist(), strict=True):
        candidate = (float((values[anchor] - values[negative]).square().sum()), negative)
        hardest[anchor, positive] = min(candidate, hardest.get((anchor, positive), candidate))
    triplets = torch.tensor([(*pair, negative) for pair, (_, negative) in hardest.items()])
    assert 0 < len(triplets) < len(anchors)
    expected = TripletMarginLoss(0.3, distance=distance)(embeddings.float(), indices_tuple=triplets.unbind(1))
    loss = triplet_loss(embeddings, identities, 0.3)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2  # 2 - 2 cos is the distance of embeddings of length 1
    torch.testing.assert_close(loss, expected, rtol=0, atol=tolerance)
    if dtype == torch.float32:
        # The gradients differ in the radial part, which normalization of the embeddings removes.
        torch.testing.assert_close(
            tangential(torch.autograd.grad(loss, embeddings)[0], embeddings),
            tangential(torch.autograd.grad(expected, embeddings)[0], embeddings),
        )


def tangential(gradient: Tensor, embeddings: Tensor) -> Tensor:
    """Return the part of a gradient (n, dim) that is tangential to the unit sphere."""
    return gradient - (gradient * embeddings.detach()).sum(1, keepdim=True) * embeddings.detach()


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-1, 3), max_size=10),
    st.floats(0.05, 4),
)
def test_it_equals_a_loop_over_all_triplets(seed: int, labels: list[int], margin: float) -> None:
    torch.manual_seed(seed)
    embeddings = functional.normalize(torch.randn(len(labels), 4))
    losses = []
    for a, anchor in enumerate(labels):
        for p, positive in enumerate(labels):
            if a == p or anchor == -1 or anchor != positive:
                continue
            positive_distance = (embeddings[a] - embeddings[p]).square().sum().item()
            negatives = [n for n, negative in enumerate(labels) if negative not in (-1, anchor)]
            gaps = [(embeddings[a] - embeddings[n]).square().sum().item() - positive_distance for n in negatives]
            semi_hard = [gap for gap in gaps if 0 < gap < margin]
            losses += [margin - min(semi_hard)] if semi_hard else []
    expected = sum(losses) / max(1, len(losses))
    loss = triplet_loss(embeddings, torch.tensor(labels, dtype=torch.int64), margin)
    assert loss.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_where_cosines_are_one_and_minus_one(dtype: torch.dtype) -> None:
    # Anchor and positive coincide, the negative is opposite: a squared distance of 4, within the margin.
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = triplet_loss(embeddings, torch.tensor([0, 0, 1]), margin=4.5)
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert embeddings.grad is not None and bool(embeddings.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unlabeled_faces_are_neither_positives_nor_negatives(dtype: torch.dtype) -> None:
    embeddings = unit_circle(0, 30, 35, 40, 45).to(dtype).requires_grad_()
    loss = triplet_loss(embeddings, torch.tensor([0, 0, -1, 1, -1]), margin=0.5)
    labeled = triplet_loss(embeddings[[0, 1, 3]], torch.tensor([0, 0, 1]), margin=0.5)
    assert loss.item() == labeled.item() > 0
    loss.backward()
    assert embeddings.grad is not None and not bool(embeddings.grad[[2, 4]].any())
