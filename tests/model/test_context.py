import torch

from onelook.model.context import ReceptiveFieldEnhancement, build_context
from onelook.settings import ModelSettings


def test_rfe_keeps_the_shape_and_has_rectangular_receptive_fields() -> None:
    torch.manual_seed(0)
    module = ReceptiveFieldEnhancement(16).eval()
    x = torch.zeros(2, 16, 11, 13, requires_grad=True)
    assert module(x).shape == x.shape
    seen = []
    for branch in module.branches:
        x.grad = None
        branch(x)[0, :, 5, 6].sum().backward()
        rows, columns = x.grad[0].abs().sum(0).nonzero().unbind(1)
        assert not x.grad[1].any()
        seen.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1))
    assert seen == [(1, 3), (3, 1), (1, 5), (5, 1)]


def test_rfe_adds_its_input() -> None:
    module = ReceptiveFieldEnhancement(8).eval()
    with torch.no_grad():
        for branch in module.branches:
            branch[2].conv.weight.zero_()
    x = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(module(x), x.clip(min=0))


def test_each_level_has_its_own_module() -> None:
    modules = build_context(ModelSettings(context="rfe", init="random"), 3)
    assert len(modules) == 3 and all(isinstance(module, ReceptiveFieldEnhancement) for module in modules)
