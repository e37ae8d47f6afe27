from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from onelook.losses.identity import IDENTITY_LOSSES, build_identity_loss
from onelook.losses.margin import ArcFaceLoss, CombinedMarginLoss, SoftmaxLoss
from onelook.losses.metric import CenterLoss, OIMLoss, triplet_loss
from onelook.settings import IdentitySettings, load_settings

PARAMETERS = {
    "scale": 20,
    "arcface": {"margin": 0.2},
    "cosface": {"margin": 0.4},
    "sphereface": {"margin": 3},
    "combined": {"m1": 1.2, "m2": 0.1, "m3": 0.2},
    "triplet": {"margin": 1.5},
    "center": {"weight": 0.5, "alpha": 0.3},
    "oim": {"queue": 3, "momentum": 0.2, "temperature": 0.3},
}


def build(loss: str) -> nn.Module:
    torch.manual_seed(3)
    return build_identity_loss(IdentitySettings.model_validate({**PARAMETERS, "loss": loss}), 8, 4)


def make_faces() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    return functional.normalize(torch.randn(7, 8)).requires_grad_(), torch.tensor([0, 1, 0, -1, 2, 1, -1])


def test_every_name_of_the_settings_is_registered() -> None:
    assert IDENTITY_LOSSES.keys() == set(get_args(IdentitySettings.model_fields["loss"].annotation))


@pytest.mark.parametrize(
    ("loss", "margins"),
    [
        ("arcface", {"m2": 0.2}),
        ("cosface", {"m3": 0.4}),
        ("sphereface", {"m1": 3.0}),
        ("combined", {"m1": 1.2, "m2": 0.1, "m3": 0.2}),
        ("normalized", {}),
    ],
)
def test_margin_losses_have_the_margins_of_the_settings(loss: str, margins: dict[str, float]) -> None:
    built = build(loss)
    torch.manual_seed(3)
    expected = CombinedMarginLoss(8, 4, scale=20, **margins)
    assert torch.equal(built(*make_faces()), expected(*make_faces()))


def test_the_default_is_arcface_with_the_values_of_params_yaml(project: Path) -> None:
    settings = load_settings(project / "params.yaml").train.identity
    torch.manual_seed(3)
    built = build_identity_loss(settings, 8, 4)
    torch.manual_seed(3)
    expected = ArcFaceLoss(8, 4, margin=0.3, scale=24)
    assert built.state_dict().keys() == expected.state_dict().keys()
    assert torch.equal(built(*make_faces()), expected(*make_faces()))


def test_softmax_triplet_and_oim_have_the_values_of_their_modules() -> None:
    built = build("softmax")
    torch.manual_seed(3)
    expected = SoftmaxLoss(8, 4)
    assert torch.equal(built(*make_faces()), expected(*make_faces()))
    assert torch.equal(build("triplet")(*make_faces()), triplet_loss(*make_faces(), 1.5))
    assert build("triplet")(*make_faces()) > 0
    oim, expected_oim = build("oim"), OIMLoss(8, 4, queue=3, momentum=0.2, temperature=0.3)
    for _ in range(2):
        assert torch.equal(oim(*make_faces()), expected_oim(*make_faces()))
    assert oim.pushed == 4


def test_center_is_softmax_plus_the_weighted_center_loss() -> None:
    built = build("center")
    torch.manual_seed(3)
    softmax, center = SoftmaxLoss(8, 4), CenterLoss(8, 4, alpha=0.3)
    for _ in range(2):
        torch.testing.assert_close(built(*make_faces()), softmax(*make_faces()) + 0.5 * center(*make_faces()))


@pytest.mark.parametrize("loss", IDENTITY_LOSSES)
def test_a_loaded_state_dict_continues_to_the_same_bits(loss: str) -> None:
    first, second = build(loss), build(loss)
    first(*make_faces())
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*make_faces()), second(*make_faces()))


@pytest.mark.parametrize("loss", IDENTITY_LOSSES)
def test_loss_and_gradient_are_zero_without_a_labeled_face(loss: str) -> None:
    embeddings, identities = make_faces()
    value = build(loss)(embeddings, torch.full_like(identities, -1))
    value.backward()
    assert value.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())
