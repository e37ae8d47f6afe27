from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from onelook.losses.identity import build_identity_loss
from onelook.losses.margin import ArcFaceLoss, CombinedMarginLoss, SoftmaxLoss
from onelook.losses.metric import CenterLoss, OIMLoss, triplet_loss
from onelook.settings import IdentitySettings, load_settings

NAMES = get_args(IdentitySettings.model_fields["loss"].annotation)
OTHERS = {"scale": 20, "sample": 1, "cosface": {"margin": 0.4}, "sphereface": {"margin": 3}, "triplet": {"margin": 1.5}}
OTHERS |= {"combined": {"m1": 1.2, "m2": 0.1, "m3": 0.2}, "arcface": {"margin": 0.2}}
OTHERS |= {"center": {"weight": 0.5, "rate": 0.3}, "oim": {"queue": 3, "momentum": 0.2, "temperature": 0.3}}


def made(loss: str) -> nn.Module:
    torch.manual_seed(3)
    return build_identity_loss(IdentitySettings.model_validate({**OTHERS, "loss": loss}), 8, 4)


def faces() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    return functional.normalize(torch.randn(7, 8)).requires_grad_(), torch.tensor([0, 1, 0, -1, 2, 1, -1])


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
def test_each_margin_is_its_own_member_of_the_family(loss: str, margins: dict[str, float]) -> None:
    head = made(loss)
    torch.manual_seed(3)
    wanted = CombinedMarginLoss(8, 4, scale=20, **margins)
    assert torch.equal(head(*faces()), wanted(*faces()))


def test_the_default_is_arcface_as_params_yaml_has_it(project: Path) -> None:
    settings = load_settings(project / "params.yaml").train.identity
    torch.manual_seed(3)
    head = build_identity_loss(settings, 8, 4)
    torch.manual_seed(3)
    wanted = ArcFaceLoss(8, 4, margin=0.3, scale=24)
    assert head.state_dict().keys() == wanted.state_dict().keys()
    assert torch.equal(head(*faces()), wanted(*faces()))


def test_softmax_triplet_and_oim_are_those_of_their_modules() -> None:
    head = made("softmax")
    torch.manual_seed(3)
    wanted = SoftmaxLoss(8, 4)
    assert torch.equal(head(*faces()), wanted(*faces()))
    assert torch.equal(made("triplet")(*faces()), triplet_loss(*faces(), 1.5)) and made("triplet")(*faces()) > 0
    ours, twin = made("oim"), OIMLoss(8, 4, queue=3, momentum=0.2, temperature=0.3)
    for _ in range(2):
        assert torch.equal(ours(*faces()), twin(*faces()))
    assert ours.pushed == 4


def test_center_is_softmax_and_so_much_center_loss() -> None:
    head = made("center")
    torch.manual_seed(3)
    softmax, center = SoftmaxLoss(8, 4), CenterLoss(8, 4, rate=0.3)
    for _ in range(2):
        torch.testing.assert_close(head(*faces()), softmax(*faces()) + 0.5 * center(*faces()))


@pytest.mark.parametrize("loss", NAMES)
def test_what_a_loss_keeps_is_in_its_state(loss: str) -> None:
    """A copy by state dict goes on to the same bits."""
    first, second = made(loss), made(loss)
    first(*faces())
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*faces()), second(*faces()))


@pytest.mark.parametrize("loss", NAMES)
def test_without_any_identity_there_is_nothing_to_learn(loss: str) -> None:
    embeddings, identities = faces()
    value = made(loss)(embeddings, torch.full_like(identities, -1))
    value.backward()
    assert value.item() == 0 and embeddings.grad is not None and not bool(embeddings.grad.any())
