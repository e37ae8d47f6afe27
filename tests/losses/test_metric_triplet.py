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


def on_the_circle(*degrees: float) -> Tensor:
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


def squared(degrees: float) -> float:
    return 2 - 2 * math.cos(math.radians(degrees))


def test_the_nearest_negative_beyond_the_positive_by_hand() -> None:
    # The anchor at 0 with its positive at 30 has negatives at 10 (hard), 40 and 50 (semi-hard); 40 is the harder.
    # The anchor at 30 has its positive 30 away and negatives 20, 10 and 20 away, all hard.
    loss = triplet_loss(on_the_circle(0, 30, 10, 40, 50), torch.tensor([0, 0, 1, 2, 3]), margin=0.5)
    assert loss.item() == pytest.approx(squared(30) - squared(40) + 0.5, abs=1e-5)


def test_negatives_beyond_the_margin_cost_nothing() -> None:
    embeddings = on_the_circle(0, 10, 180).requires_grad_()
    loss = triplet_loss(embeddings, torch.tensor([0, 0, 1]), margin=0.5)
    loss.backward()
    assert loss.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_value_and_gradient_agree_with_pytorch_metric_learning_on_the_hardest_of_its_semi_hard_triplets(
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
        found = (float((values[anchor] - values[negative]).square().sum()), negative)
        hardest[anchor, positive] = min(found, hardest.get((anchor, positive), found))
    triplets = torch.tensor([(*pair, negative) for pair, (_, negative) in hardest.items()])
    assert 0 < len(triplets) < len(anchors)
    wanted = TripletMarginLoss(0.3, distance=distance)(embeddings.float(), indices_tuple=triplets.unbind(1))
    loss = triplet_loss(embeddings, identities, 0.3)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2  # 2 - 2 cos is the distance of embeddings of length 1
    torch.testing.assert_close(loss, wanted, rtol=0, atol=tolerance)
    if dtype == torch.float32:
        # The two gradients differ along the embeddings, where normalizing them lets nothing through.
        torch.testing.assert_close(
            across(torch.autograd.grad(loss, embeddings)[0], embeddings),
            across(torch.autograd.grad(wanted, embeddings)[0], embeddings),
        )


def across(gradient: Tensor, embeddings: Tensor) -> Tensor:
    """The part of a gradient (n, size) that turns the embeddings."""
    return gradient - (gradient * embeddings.detach()).sum(1, keepdim=True) * embeddings.detach()


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-1, 3), max_size=10),
    st.floats(0.05, 4),
)
def test_it_agrees_with_a_loop_over_all_triplets(seed: int, labels: list[int], margin: float) -> None:
    torch.manual_seed(seed)
    embeddings = functional.normalize(torch.randn(len(labels), 4))
    losses = []
    for a, anchor in enumerate(labels):
        for p, positive in enumerate(labels):
            if a == p or anchor == -1 or anchor != positive:
                continue
            near = (embeddings[a] - embeddings[p]).square().sum().item()
            others = [n for n, negative in enumerate(labels) if negative not in (-1, anchor)]
            gaps = [(embeddings[a] - embeddings[n]).square().sum().item() - near for n in others]
            semi_hard = [gap for gap in gaps if 0 < gap < margin]
            losses += [margin - min(semi_hard)] if semi_hard else []
    wanted = sum(losses) / max(1, len(losses))
    loss = triplet_loss(embeddings, torch.tensor(labels, dtype=torch.int64), margin)
    assert loss.item() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_where_cosines_are_one_and_minus_one(dtype: torch.dtype) -> None:
    # Anchor and positive coincide, their negative lies opposite: a squared distance of 4, within the margin.
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = triplet_loss(embeddings, torch.tensor([0, 0, 1]), margin=4.5)
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert embeddings.grad is not None and bool(embeddings.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_faces_without_identity_are_neither_positives_nor_negatives(dtype: torch.dtype) -> None:
    embeddings = on_the_circle(0, 30, 35, 40, 45).to(dtype).requires_grad_()
    loss = triplet_loss(embeddings, torch.tensor([0, 0, -1, 1, -1]), margin=0.5)
    known = triplet_loss(embeddings[[0, 1, 3]], torch.tensor([0, 0, 1]), margin=0.5)
    assert loss.item() == known.item() > 0
    loss.backward()
    assert embeddings.grad is not None and not bool(embeddings.grad[[2, 4]].any())
