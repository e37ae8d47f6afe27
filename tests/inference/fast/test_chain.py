"""A chain of layers gives what the layers give one by one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from onelook.inference.fast import onednn
from onelook.inference.fast.chain import Chain, chained
from onelook.inference.fast.convolution import fuse_conv
from onelook.inference.fast.layers import FusedResidual, Rounding
from onelook.inference.fast.onednn import NONE

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="no package of oneDNN for this system")


def layers(inputs: int, plan: Sequence[tuple[int, int, bool]]) -> list[nn.Module]:
    """Fused layers that put out so many channels at a stride; residual, these are three that keep both."""
    torch.manual_seed(0)
    made: list[nn.Module] = []
    for outputs, stride, residual in plan:
        if residual:
            around = [nn.Conv2d(inputs, 5, 1), nn.Conv2d(5, 5, 3, padding=1, groups=5), nn.Conv2d(5, inputs, 1)]
            body = nn.Sequential(*(fuse_conv(each, NONE, torch.float32) for each in around))
            made.append(FusedResidual(body))
        else:
            convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
            made.append(nn.Sequential(fuse_conv(convolution, ("leaky_relu", 0.1), torch.float32), nn.Identity()))
            inputs = outputs
    return made


def one_by_one(modules: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    for module in modules:
        x = module(x)
    return x


PLANS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 2), st.booleans()), min_size=1, max_size=5)


@given(PLANS, st.integers(1, 3), st.integers(1, 12), st.integers(1, 12))
def test_a_chain_gives_what_its_layers_give(
    plan: list[tuple[int, int, bool]], photos: int, height: int, width: int
) -> None:
    modules = layers(4, [(4, 1, False), *plan])
    together = chained(modules)
    assert isinstance(together, Chain)
    with torch.inference_mode():
        for size in ((photos, 4, height, width), (1, 4, 7, 5), (photos, 4, height, width)):
            x = torch.randn(size)
            before = x.clone()
            torch.testing.assert_close(together(x), one_by_one(modules, x.clone()), rtol=1e-5, atol=1e-5)
            assert x.equal(before)


def test_maps_of_a_batch_without_photos_are_empty() -> None:
    together = chained(layers(4, [(3, 2, False), (3, 1, True)]))
    with torch.inference_mode():
        assert together(torch.zeros(0, 4, 6, 6)).shape == (0, 3, 3, 3)


def test_rounding_is_a_link() -> None:
    modules = [*layers(4, [(8, 1, False)]), Rounding(torch.bfloat16)]
    together = chained(modules)
    assert isinstance(together, Chain)
    x = torch.randn(2, 4, 9, 7)
    with torch.inference_mode():
        found = together(x)
        assert found.dtype == torch.bfloat16 and found.equal(one_by_one(modules, x))


@pytest.mark.parametrize("module", [nn.Conv2d(4, 4, 1), nn.Sequential(nn.PReLU(4))], ids=str)
def test_what_cannot_be_a_link_runs_as_it_did(module: nn.Module) -> None:
    modules = [*layers(4, [(4, 1, False)]), module]
    together = chained(modules)
    assert not isinstance(together, Chain)
    x = torch.randn(1, 4, 6, 6)
    with torch.inference_mode():
        torch.testing.assert_close(together(x), one_by_one(modules, x))


def test_nothing_is_added_to_what_goes_into_a_chain() -> None:
    assert not isinstance(chained(layers(4, [(4, 1, True)])), Chain)


def test_many_threads_and_many_sizes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "MOST_SIZES", 3)
    modules = layers(4, [(6, 2, False), (6, 1, True), (3, 1, False)])
    together = chained(modules)

    def difference(seed: int) -> float:
        x = torch.randn(1, 4, 20 + seed % 5, 30, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            return float((together(x) - one_by_one(modules, x)).abs().max())

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(difference, range(200))) < 1e-4


def test_results_that_are_done_with_make_room_around_one_middle() -> None:
    # Of 8x8 cells of float32: 1,024 bytes, 2,048, twice 1,280 within the residual, 512; the last one lies elsewhere.
    together = chained(layers(4, [(4, 1, False), (8, 1, False), (8, 1, True), (2, 1, False), (1, 1, False)]))
    assert isinstance(together, Chain)
    ready = together._prepare(torch.Size((1, 4, 8, 8)))
    lengths = {1: 1024, 2: 2048, 3: 1280, 4: 1280, 5: 512}
    assert ready.bytes == 1280 + 2048 + 1280
    middles = {number: start + lengths[number] // 2 for number, start in ready.starts.items()}
    assert middles == {1: 640, 2: 1280 + 1024, 3: 640, 4: 1280 + 2048 + 640, 5: 640}
