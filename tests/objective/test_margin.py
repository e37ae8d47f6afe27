import math
from itertools import pairwise

import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch.nn import functional

from onelook.objective.margin import ArcFace


def loss_of(cosines: list[float], margin: float, scale: float) -> float:
    """The loss of one face in the plane of two classes, at given cosines to the true and the other centre."""
    head = ArcFace(3, 2, margin=margin, scale=scale)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    rest = math.sqrt(max(0.0, 1 - cosines[0] ** 2 - cosines[1] ** 2))
    return head(torch.tensor([[*cosines, rest]]), torch.tensor([0])).item()


def test_the_margin_enlarges_the_true_angle() -> None:
    angle = math.acos(0.6)
    logits = [8 * math.cos(angle + 0.5), 8 * 0.3]
    wanted = math.log(1 + math.exp(logits[1] - logits[0]))
    assert loss_of([0.6, 0.3], margin=0.5, scale=8) == pytest.approx(wanted, rel=1e-5)


def test_without_a_margin_it_is_the_normalised_softmax() -> None:
    assert loss_of([0.6, 0.3], margin=0.0, scale=8) == pytest.approx(math.log(1 + math.exp(8 * -0.3)), rel=1e-5)


def test_it_agrees_with_pytorch_metric_learning() -> None:
    torch.manual_seed(0)
    head = ArcFace(16, 7, margin=0.4, scale=24)
    oracle = ArcFaceLoss(num_classes=7, embedding_size=16, margin=math.degrees(0.4), scale=24)
    with torch.no_grad():
        oracle.W.copy_(functional.normalize(head.centres).T)
    embeddings = functional.normalize(torch.randn(32, 16))
    identities = torch.randint(0, 7, (32,))
    torch.testing.assert_close(head(embeddings, identities), oracle(embeddings, identities), rtol=1e-4, atol=1e-4)


def test_faces_without_identity_never_reach_the_classifier() -> None:
    torch.manual_seed(0)
    head = ArcFace(4, 3, margin=0.3, scale=16)
    embeddings = functional.normalize(torch.randn(5, 4)).requires_grad_()
    identities = torch.tensor([0, -1, 2, -1, 1])
    loss = head(embeddings, identities)
    torch.testing.assert_close(loss, head(embeddings[[0, 2, 4]], identities[[0, 2, 4]]))
    loss.backward()
    assert embeddings.grad is not None and bool((embeddings.grad[[1, 3]] == 0).all())
    assert head(embeddings, torch.full((5,), -1)).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_finite_where_the_cosine_is_one_or_minus_one(dtype: torch.dtype, sign: float) -> None:
    head = ArcFace(2, 2, margin=0.5, scale=64)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    embeddings = torch.tensor([[sign, 0.0]], dtype=dtype, requires_grad=True)
    head(embeddings, torch.tensor([0])).backward()
    assert embeddings.grad is not None and bool(embeddings.grad.isfinite().all())
    assert head.centres.grad is not None and bool(head.centres.grad.isfinite().all())


def test_the_loss_falls_as_the_angle_shrinks_all_the_way_round() -> None:
    losses = [loss_of([math.cos(math.radians(a)), 0.0], margin=0.5, scale=16) for a in range(180, -1, -5)]
    assert all(later < earlier for earlier, later in pairwise(losses))
