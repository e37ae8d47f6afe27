import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import (
    ArcFaceLoss as ReferenceArcFaceLoss,
)
from pytorch_metric_learning.losses import (
    CosFaceLoss,
    LargeMarginSoftmaxLoss,
    NormalizedSoftmaxLoss,
    SphereFaceLoss,
)
from torch.nn import functional

from onelook.losses.margin import ArcFaceLoss, CombinedMarginLoss

NORMALIZED: dict[str, float] = {}
SPHEREFACE, COSFACE, ARCFACE = {"m1": 4.0}, {"m3": 0.35}, {"m2": 0.5}
COMBINED = {"m1": 1.5, "m2": 0.3, "m3": 0.2}
FAMILY = [NORMALIZED, SPHEREFACE, COSFACE, ARCFACE, COMBINED]
margins = st.fixed_dictionaries({"m1": st.floats(1, 5), "m2": st.floats(0, 1.5), "m3": st.floats(0, 1)})


def two_class_loss(cosines: list[float], margin: float, scale: float) -> float:
    """Compute the loss of a face of two classes from its cosines to the true and the other center."""
    head = ArcFaceLoss(3, 2, margin=margin, scale=scale)
    with torch.no_grad():
        head.centers.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    rest = math.sqrt(max(0.0, 1 - cosines[0] ** 2 - cosines[1] ** 2))
    return head(torch.tensor([[*cosines, rest]]), torch.tensor([0])).item()


def test_the_arcface_margin_is_added_to_the_true_angle() -> None:
    angle = math.acos(0.6)
    logits = [8 * math.cos(angle + 0.5), 8 * 0.3]
    expected = math.log(1 + math.exp(logits[1] - logits[0]))
    assert two_class_loss([0.6, 0.3], margin=0.5, scale=8) == pytest.approx(expected, rel=1e-5)


def test_without_a_margin_it_is_the_normalized_softmax() -> None:
    assert two_class_loss([0.6, 0.3], margin=0.0, scale=8) == pytest.approx(math.log(1 + math.exp(8 * -0.3)), rel=1e-5)


def test_unlabeled_faces_have_no_loss_and_no_gradient() -> None:
    torch.manual_seed(0)
    head = ArcFaceLoss(4, 3, margin=0.3, scale=16)
    embeddings = functional.normalize(torch.randn(5, 4)).requires_grad_()
    identities = torch.tensor([0, -1, 2, -1, 1])
    loss = head(embeddings, identities)
    torch.testing.assert_close(loss, head(embeddings[[0, 2, 4]], identities[[0, 2, 4]]))
    loss.backward()
    assert embeddings.grad is not None and bool((embeddings.grad[[1, 3]] == 0).all())
    assert head(embeddings, torch.full((5,), -1)).item() == 0


def test_the_loss_decreases_with_the_angle_over_the_whole_half_circle() -> None:
    losses = [two_class_loss([math.cos(math.radians(a)), 0.0], margin=0.5, scale=16) for a in range(180, -1, -5)]
    assert all(later < earlier for earlier, later in pairwise(losses))


def true_logit(degrees: float, **margins: float) -> float:
    """Compute the true logit at an angle from the loss of two classes, the other with cosine 0."""
    head = CombinedMarginLoss(3, 2, scale=1, **margins)
    with torch.no_grad():
        head.centers.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    angle = math.radians(degrees)
    loss = head(torch.tensor([[math.cos(angle), 0.0, math.sin(angle)]]), torch.tensor([0])).item()
    return -math.log(math.expm1(loss))


def test_the_combined_margin_by_hand() -> None:
    expected = math.cos(1.5 * math.radians(40) + 0.3) - 0.2
    assert true_logit(40, **COMBINED) == pytest.approx(expected, abs=1e-5)


def test_the_combined_margin_keeps_falling_beyond_multiples_of_pi() -> None:
    # 2 * 170 degrees + 0.5 lies between 2 pi and 3 pi.
    expected = math.cos(2 * math.radians(170) + 0.5) - 4 - 0.1
    assert true_logit(170, m1=2, m2=0.5, m3=0.1) == pytest.approx(expected, abs=1e-4)


def test_arcface_is_the_combined_margin_with_m2_alone() -> None:
    head, family = ArcFaceLoss(16, 7, margin=0.4, scale=24), CombinedMarginLoss(16, 7, scale=24, m2=0.4)
    family.load_state_dict(head.state_dict())
    embeddings, identities = functional.normalize(torch.randn(8, 16)), torch.randint(0, 7, (8,))
    assert torch.equal(head(embeddings, identities), family(embeddings, identities))


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (NORMALIZED, NormalizedSoftmaxLoss(7, 16, temperature=1 / 24)),
        ({"m1": 2.0}, SphereFaceLoss(7, 16, margin=2, scale=24)),
        ({"m1": 3.0}, SphereFaceLoss(7, 16, margin=3, scale=24)),
        (SPHEREFACE, SphereFaceLoss(7, 16, margin=4, scale=24)),
        (COSFACE, CosFaceLoss(7, 16, margin=0.35, scale=24)),
        (ARCFACE, ReferenceArcFaceLoss(7, 16, margin=math.degrees(0.5), scale=24)),
    ],
)
def test_values_and_gradients_equal_pytorch_metric_learning(
    settings: dict[str, float], reference: LargeMarginSoftmaxLoss | NormalizedSoftmaxLoss
) -> None:
    torch.manual_seed(0)
    head = CombinedMarginLoss(16, 7, scale=24, **settings)
    with torch.no_grad():
        head.centers.normal_()
        reference.W.copy_(head.centers.T)
    embeddings, identities = functional.normalize(torch.randn(64, 16)), torch.randint(0, 7, (64,))
    loss, expected = head(embeddings, identities), reference(embeddings, identities)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
    loss.backward()
    expected.backward()
    assert head.centers.grad is not None
    torch.testing.assert_close(head.centers.grad, reference.W.grad.T, rtol=1e-3, atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 64), st.sampled_from(["m1", "m2", "m3"]))
def test_a_neutral_margin_is_the_normalized_softmax(seed: int, scale: float, name: str) -> None:
    torch.manual_seed(seed)
    head = CombinedMarginLoss(8, 5, scale=scale, **{name: 1.0 if name == "m1" else 0.0})
    embeddings, identities = functional.normalize(torch.randn(6, 8)), torch.randint(0, 5, (6,))
    expected = functional.cross_entropy(scale * embeddings @ functional.normalize(head.centers).T, identities)
    torch.testing.assert_close(head(embeddings, identities), expected)


@given(margins, st.floats(0, 175), st.floats(0.5, 5))
def test_the_true_logit_falls_with_the_angle_for_all_margins(
    margins: dict[str, float], degrees: float, step: float
) -> None:
    # Within 0.06 degrees of 0 and 180 the floor of the sine flattens the curve; the tolerance is that of float32.
    assert true_logit(degrees + step, **margins) <= true_logit(degrees, **margins) + 1e-4


@given(margins, st.floats(0, 180))
def test_a_margin_never_raises_the_true_logit(margins: dict[str, float], degrees: float) -> None:
    assert true_logit(degrees, **margins) <= true_logit(degrees) + 1e-4


@pytest.mark.parametrize("settings", FAMILY)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-1, 2), min_size=1, max_size=8))
def test_unlabeled_faces_do_not_change_the_gradient_of_the_centers(
    settings: dict[str, float], seed: int, labels: list[int]
) -> None:
    torch.manual_seed(seed)
    head, identities = CombinedMarginLoss(4, 3, scale=16, **settings), torch.tensor([*labels, 1])
    embeddings = functional.normalize(torch.randn(len(identities), 4))
    labeled = identities >= 0
    (all_faces,) = torch.autograd.grad(head(embeddings, identities), head.centers)
    (labeled_faces,) = torch.autograd.grad(head(embeddings[labeled], identities[labeled]), head.centers)
    assert torch.equal(all_faces, labeled_faces)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradient_are_zero_without_a_labeled_face(dtype: torch.dtype) -> None:
    embeddings = torch.ones(3, 4, dtype=dtype, requires_grad=True)
    loss = CombinedMarginLoss(4, 3, scale=16)(embeddings, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())


@pytest.mark.parametrize("settings", FAMILY)
def test_bfloat16_embeddings_are_converted_to_float32(settings: dict[str, float]) -> None:
    torch.manual_seed(0)
    head = CombinedMarginLoss(16, 7, scale=24, **settings)
    embeddings, identities = functional.normalize(torch.randn(8, 16)).bfloat16(), torch.randint(0, 7, (8,))
    assert torch.equal(head(embeddings, identities), head(embeddings.float(), identities))


@pytest.mark.parametrize("settings", FAMILY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_finite_where_the_cosine_is_one_or_minus_one(
    settings: dict[str, float], dtype: torch.dtype, sign: float
) -> None:
    head = CombinedMarginLoss(2, 2, scale=64, **settings)
    with torch.no_grad():
        head.centers.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    embeddings = torch.tensor([[sign, 0.0]], dtype=dtype, requires_grad=True)
    head(embeddings, torch.tensor([0])).backward()
    assert embeddings.grad is not None and bool(embeddings.grad.isfinite().all())
    assert head.centers.grad is not None and bool(head.centers.grad.isfinite().all())


@pytest.mark.parametrize("settings", FAMILY)
def test_a_softmax_over_sampled_classes_equals_a_classifier_of_these_classes(settings: dict[str, float]) -> None:
    torch.manual_seed(0)
    head, small = CombinedMarginLoss(16, 7, scale=24, **settings), CombinedMarginLoss(16, 3, scale=24, **settings)
    classes = torch.tensor([1, 4, 6])
    small.load_state_dict({"centers": head.centers[classes].detach()})
    embeddings, identities = functional.normalize(torch.randn(8, 16)), classes[torch.arange(8) % 3]
    identities[5] = -1
    loss = head(embeddings, identities, classes)
    small_loss = small(embeddings, torch.where(identities < 0, -1, torch.searchsorted(classes, identities)))
    torch.testing.assert_close(loss, small_loss, rtol=0, atol=0)
    for each in (loss, small_loss):
        each.backward()
    assert head.centers.grad is not None and small.centers.grad is not None
    assert head.centers.grad[classes].equal(small.centers.grad)
    assert not bool(head.centers.grad[[0, 2, 3, 5]].any())


def test_a_softmax_over_sampled_classes_by_hand() -> None:
    """Cosines .6 to the true center, .3 to another sampled class, .7 to a class that is not sampled."""
    head = ArcFaceLoss(3, 3, margin=0.5, scale=8)
    with torch.no_grad():
        head.centers.copy_(torch.eye(3))
    loss = head(torch.tensor([[0.7, 0.6, 0.3]]), torch.tensor([1]), torch.tensor([1, 2])).item()
    assert loss == pytest.approx(math.log1p(math.exp(8 * (0.3 - math.cos(math.acos(0.6) + 0.5)))), rel=1e-5)
