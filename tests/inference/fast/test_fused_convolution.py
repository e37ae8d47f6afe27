"""Convolutions fused with what follows them give what torch gives, in one call and from many threads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from onelook.inference.fast import onednn
from onelook.inference.fast.convolution import DirectConvolution, FineConvolution, Fused, TorchConvolution
from onelook.inference.fast.onednn import NONE, Activation

NEEDS_ONEDNN = pytest.mark.skipif(not onednn.is_available(), reason="no package of oneDNN for this system")
NEEDS_BFLOAT16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this processor"
)
KINDS = [pytest.param(DirectConvolution, marks=NEEDS_ONEDNN), TorchConvolution]
EACH_KIND = pytest.mark.parametrize("kind", KINDS)
ROUNDED = {"rtol": 2**-7, "atol": 2**-7}
APART: dict[str, Any] = {"none": nn.Identity, "leaky_relu": nn.LeakyReLU, "hardtanh": nn.Hardtanh}


@EACH_KIND
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 16])),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    activation=st.sampled_from([NONE, ("leaky_relu", 0.1), ("leaky_relu", 0.0), ("hardtanh", 0.0, 6.0)]),
    innermost=st.booleans(),
)
def test_a_convolution_and_its_activation_in_one_call(
    kind: type[Fused],
    size: tuple[int, int, int],
    channels: tuple[int, int, int],
    kernel: int,
    stride: int,
    dilation: int,
    bias: bool,
    activation: Activation,
    innermost: bool,
) -> None:
    inputs, outputs, groups = channels
    torch.manual_seed(0)
    convolution = nn.Conv2d(
        inputs * groups, outputs * groups, kernel, stride, dilation * (kernel // 2), dilation, groups, bias
    )
    x = 4 * torch.randn(size[0], inputs * groups, *size[1:])
    with torch.inference_mode():
        wanted = APART[activation[0]](*activation[1:])(convolution(x))
        if innermost:
            x = x.contiguous(memory_format=torch.channels_last)
        both = kind(convolution, activation, torch.float32, torch.float32)
        for _ in range(2):  # prepared, and from then on
            torch.testing.assert_close(both(x), wanted, rtol=1e-4, atol=1e-4)


@EACH_KIND
@pytest.mark.parametrize("kernel", [1, 3])
def test_what_a_convolution_gives_is_added(kind: type[Fused], kernel: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 4, kernel, padding=kernel // 2)
    x = torch.randn(2, 6, 9, 7)
    total = torch.randn(2, 4, 9, 7).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = total + convolution(x)
        both = kind(convolution, NONE, torch.float32, torch.float32)
        added = both.add_to(total, x)
        torch.testing.assert_close(added, wanted, rtol=1e-4, atol=1e-4)
        assert added.data_ptr() == total.data_ptr()


@NEEDS_ONEDNN
def test_a_sum_is_put_through_the_activation() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 4, 1)
    x, total = (torch.randn(2, c, 9, 7).contiguous(memory_format=torch.channels_last) for c in (6, 4))
    with torch.inference_mode():
        added = total + convolution(x)
        slopes = torch.tensor([-0.5, 0.0, 0.3, 1.2])
        known = {
            ("hardtanh", 0.0, 6.0): added.clamp(0, 6),
            ("prelu", *slopes.tolist()): nn.functional.prelu(added, slopes),
        }
        for activation, wanted in known.items():
            both = DirectConvolution(convolution, activation, torch.float32, torch.float32)
            torch.testing.assert_close(both.add_to(total.clone(), x), wanted, rtol=1e-4, atol=1e-4)


@NEEDS_ONEDNN
def test_results_are_put_where_there_is_room() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 4, 1)
    x, place = torch.randn(1, 6, 9, 7), torch.zeros(3, 63, 4)
    with torch.inference_mode():
        DirectConvolution(convolution, NONE, torch.float32, torch.float32).into(x, place[1])
        wanted = convolution(x).permute(0, 2, 3, 1).reshape(63, 4)
    torch.testing.assert_close(place[1], wanted, rtol=1e-4, atol=1e-4)
    assert not place[0].any() and not place[2].any()


@NEEDS_BFLOAT16
@NEEDS_ONEDNN
def test_weights_in_two_parts_are_as_good_as_in_one() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 8, 1)
    x = torch.randn(2, 32, 9, 7).bfloat16()
    with torch.inference_mode():
        wanted = convolution.double()(x.double()).clamp(0, 6).float()
        found = FineConvolution(convolution.float(), ("hardtanh", 0.0, 6.0))(x)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@NEEDS_BFLOAT16
@EACH_KIND
def test_in_bfloat16_inputs_weights_and_results_are_rounded(kind: type[Fused]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(16, 8, 3, padding=1)
    x = torch.randn(2, 16, 9, 7)
    with torch.inference_mode():
        found = kind(convolution, NONE, torch.bfloat16, torch.bfloat16)(x)
        finer = kind(convolution, NONE, torch.bfloat16, torch.float32)(x)
        assert (found.dtype, finer.dtype) == (torch.bfloat16, torch.float32)
        weight = convolution.weight.bfloat16().float()
        wanted = nn.functional.conv2d(x.bfloat16().float(), weight, convolution.bias, padding=1)
    torch.testing.assert_close(found.float(), wanted, **ROUNDED)
    torch.testing.assert_close(
        finer, wanted, **({"rtol": 1e-4, "atol": 1e-4} if kind is DirectConvolution else ROUNDED)
    )


@EACH_KIND
def test_a_part_of_a_map_and_a_map_without_photos_are_read_too(kind: type[Fused]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 4, 1)
    x = torch.randn(2, 16, 5, 3).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        both = kind(convolution, NONE, torch.float32, torch.float32)
        torch.testing.assert_close(both(x[:, 8:]), convolution(x[:, 8:]))
        torch.testing.assert_close(both(x[:0, 8:]), convolution(x[:0, 8:]))


@EACH_KIND
def test_many_threads_and_many_sizes(kind: type[Fused], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "MOST_SIZES", 3)
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 8, 3, padding=1)
    both = kind(convolution, NONE, torch.float32, torch.float32)

    def differences(seed: int) -> float:
        x = torch.randn(1, 8, 20 + seed % 5, 30, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            return float((both(x) - convolution(x)).abs().max())

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(differences, range(200))) < 1e-4
