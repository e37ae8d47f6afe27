import math

import pytest
import torch

from onelook.losses.margin import SoftmaxLoss


def test_the_loss_by_hand_with_weights_and_a_bias() -> None:
    head = SoftmaxLoss(2, 2)
    with torch.no_grad():
        head.classifier.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        head.classifier.bias.copy_(torch.tensor([0.5, -0.5]))
    # Logits of (2, 1): 4.5 and 5.5; neither the embedding nor the weights are brought to length 1.
    loss = head(torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(1 + math.e), rel=1e-6)


def test_faces_without_identity_leave_the_classifiers_gradient_alone() -> None:
    torch.manual_seed(0)
    head, embeddings, identities = SoftmaxLoss(4, 3), torch.randn(5, 4), torch.tensor([0, -1, 2, -1, 1])
    known = identities >= 0
    parameters = list(head.parameters())
    all_faces = torch.autograd.grad(head(embeddings, identities), parameters)
    known_faces = torch.autograd.grad(head(embeddings[known], identities[known]), parameters)
    assert len(parameters) == 2 and all(map(torch.equal, all_faces, known_faces))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_any_identity_loss_and_gradient_are_zero(dtype: torch.dtype) -> None:
    embeddings = torch.ones(3, 4, dtype=dtype, requires_grad=True)
    loss = SoftmaxLoss(4, 3)(embeddings, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())


def test_bfloat16_embeddings_cost_what_their_values_cost_in_float32() -> None:
    torch.manual_seed(0)
    head, embeddings, identities = SoftmaxLoss(16, 7), torch.randn(8, 16).bfloat16(), torch.randint(0, 7, (8,))
    assert torch.equal(head(embeddings, identities), head(embeddings.float(), identities))
