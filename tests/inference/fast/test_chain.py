from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from onelook.inference.fast import onednn
from onelook.inference.fast.chain import PrimitiveChain, chain_layers
from onelook.inference.fast.convolution import fuse_conv
from onelook.inference.fast.layers import CastDtype, FusedResidual
from onelook.inference.fast.onednn import NO_ACTIVATION

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="onelook[fast] is not installed")


def layers(inputs: int, plan: Sequence[tuple[int, int, bool]]) -> list[nn.Module]:
    """Build fused layers by output channels and stride, or a residual block of three layers."""
    torch.manual_seed(0)
    built: list[nn.Module] = []
    for outputs, stride, residual in plan:
        if residual:
            around = [nn.Conv2d(inputs, 5, 1), nn.Conv2d(5, 5, 3, padding=1, groups=5), nn.Conv2d(5, inputs, 1)]
            body = nn.Sequential(*(fuse_conv(each, NO_ACTIVATION, torch.float32) for each in around))
            built.append(FusedResidual(body))
        else:
            convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
            built.append(nn.Sequential(fuse_conv(convolution, ("leaky_relu", 0.1), torch.float32), nn.Identity()))
            inputs = outputs
    return built


def one_by_one(modules: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    for module in modules:
        x = module(x)
    return x


PLANS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 2), st.booleans()), min_size=1, max_size=5)


@given(PLANS, st.integers(1, 3), st.integers(1, 12), st.integers(1, 12))
def test_chain_equals_its_layers(plan: list[tuple[int, int, bool]], batch: int, height: int, width: int) -> None:
    modules = layers(4, [(4, 1, False), *plan])
    chain = chain_layers(modules)
    assert isinstance(chain, PrimitiveChain)
    with torch.inference_mode():
        for size in ((batch, 4, height, width), (1, 4, 7, 5), (batch, 4, height, width)):
            x = torch.randn(size)
            before = x.clone()
            torch.testing.assert_close(chain(x), one_by_one(modules, x.clone()), rtol=1e-5, atol=1e-5)
            assert x.equal(before)


def test_empty_batch_gives_empty_maps() -> None:
    chain = chain_layers(layers(4, [(3, 2, False), (3, 1, True)]))
    with torch.inference_mode():
        assert chain(torch.zeros(0, 4, 6, 6)).shape == (0, 3, 3, 3)


def test_dtype_cast_can_be_in_a_chain() -> None:
    modules = [*layers(4, [(8, 1, False)]), CastDtype(torch.bfloat16)]
    chain = chain_layers(modules)
    assert isinstance(chain, PrimitiveChain)
    x = torch.randn(2, 4, 9, 7)
    with torch.inference_mode():
        found = chain(x)
        assert found.dtype == torch.bfloat16 and found.equal(one_by_one(modules, x))


@pytest.mark.parametrize("module", [nn.Conv2d(4, 4, 1), nn.Sequential(nn.PReLU(4))], ids=str)
def test_other_layers_run_as_sequential(module: nn.Module) -> None:
    modules = [*layers(4, [(4, 1, False)]), module]
    chain = chain_layers(modules)
    assert not isinstance(chain, PrimitiveChain)
    x = torch.randn(1, 4, 6, 6)
    with torch.inference_mode():
        torch.testing.assert_close(chain(x), one_by_one(modules, x))


def test_first_block_is_not_residual() -> None:
    assert not isinstance(chain_layers(layers(4, [(4, 1, True)])), PrimitiveChain)


def test_concurrent_calls_of_many_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "MAX_CACHED_SHAPES", 3)
    modules = layers(4, [(6, 2, False), (6, 1, True), (3, 1, False)])
    chain = chain_layers(modules)

    def difference(seed: int) -> float:
        x = torch.randn(1, 4, 20 + seed % 5, 30, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            return float((chain(x) - one_by_one(modules, x)).abs().max())

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(difference, range(200))) < 1e-4


def test_dead_values_share_centered_memory() -> None:
    # Values of 8x8 float32 cells: 1024 bytes, 2048, twice 1280 in the residual, 512; the output is elsewhere.
    chain = chain_layers(layers(4, [(4, 1, False), (8, 1, False), (8, 1, True), (2, 1, False), (1, 1, False)]))
    assert isinstance(chain, PrimitiveChain)
    plan = chain.plan(torch.Size((1, 4, 8, 8)))
    sizes = {1: 1024, 2: 2048, 3: 1280, 4: 1280, 5: 512}
    assert plan.buffer_bytes == 1280 + 2048 + 1280
    centers = {number: start + sizes[number] // 2 for number, start in plan.offsets.items()}
    assert centers == {1: 640, 2: 1280 + 1024, 3: 640, 4: 1280 + 2048 + 640, 5: 640}
