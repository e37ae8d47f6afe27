import math

import pytest
import torch

from onelook.losses.margin import SoftmaxLoss


def test_the_loss_by_hand_with_weights_and_a_bias() -> None:
    loss = SoftmaxLoss(2, 2)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        loss.classifier.bias.copy_(torch.tensor([0.5, -0.5]))
    # Logits of (2, 1): 4.5 and 5.5; neither embedding nor weights are normalized.
    value = loss(torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
    assert value.item() == pytest.approx(math.log(1 + math.e), rel=1e-6)


def test_unlabeled_faces_do_not_change_the_gradient_of_the_classifier() -> None:
    torch.manual_seed(0)
    loss, embeddings, identities = SoftmaxLoss(4, 3), torch.randn(5, 4), torch.tensor([0, -1, 2, -1, 1])
    labeled = identities >= 0
    parameters = list(loss.parameters())
    all_faces = torch.autograd.grad(loss(embeddings, identities), parameters)
    labeled_faces = torch.autograd.grad(loss(embeddings[labeled], identities[labeled]), parameters)
    assert len(parameters) == 2 and all(map(torch.equal, all_faces, labeled_faces))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradient_are_zero_without_a_labeled_face(dtype: torch.dtype) -> None:
    embeddings = torch.ones(3, 4, dtype=dtype, requires_grad=True)
    value = SoftmaxLoss(4, 3)(embeddings, torch.full((3,), -1))
    value.backward()
    assert value.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())


def test_bfloat16_embeddings_are_converted_to_float32() -> None:
    torch.manual_seed(0)
    loss, embeddings, identities = SoftmaxLoss(16, 7), torch.randn(8, 16).bfloat16(), torch.randint(0, 7, (8,))
    assert torch.equal(loss(embeddings, identities), loss(embeddings.float(), identities))
