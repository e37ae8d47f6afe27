from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from onelook.inference.fast import onednn
from onelook.inference.fast.convolution import FusedConv, OneDnnConv, SplitWeightConv, TorchFusedConv
from onelook.inference.fast.onednn import NO_ACTIVATION, Activation

REQUIRES_ONEDNN = pytest.mark.skipif(not onednn.is_available(), reason="onelook[fast] is not installed")
REQUIRES_BFLOAT16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this processor"
)
IMPLEMENTATIONS = [pytest.param(OneDnnConv, marks=REQUIRES_ONEDNN), TorchFusedConv]
EACH_IMPLEMENTATION = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
BFLOAT16_TOLERANCE = {"rtol": 2**-7, "atol": 2**-7}
ACTIVATIONS: dict[str, Any] = {"none": nn.Identity, "leaky_relu": nn.LeakyReLU, "hardtanh": nn.Hardtanh}


@EACH_IMPLEMENTATION
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 16])),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    activation=st.sampled_from([NO_ACTIVATION, ("leaky_relu", 0.1), ("leaky_relu", 0.0), ("hardtanh", 0.0, 6.0)]),
    channels_last=st.booleans(),
)
def test_fused_convolution_equals_convolution_and_activation(
    implementation: type[FusedConv],
    size: tuple[int, int, int],
    channels: tuple[int, int, int],
    kernel: int,
    stride: int,
    dilation: int,
    bias: bool,
    activation: Activation,
    channels_last: bool,
) -> None:
    inputs, outputs, groups = channels
    torch.manual_seed(0)
    convolution = nn.Conv2d(
        inputs * groups, outputs * groups, kernel, stride, dilation * (kernel // 2), dilation, groups, bias
    )
    x = 4 * torch.randn(size[0], inputs * groups, *size[1:])
    with torch.inference_mode():
        expected = ACTIVATIONS[activation[0]](*activation[1:])(convolution(x))
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        fused = implementation(convolution, activation, torch.float32, torch.float32)
        for _ in range(2):  # creates the primitive, then reuses it
            torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)


@EACH_IMPLEMENTATION
@pytest.mark.parametrize("kernel", [1, 3])
def test_add_to_accumulates_in_place(implementation: type[FusedConv], kernel: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 4, kernel, padding=kernel // 2)
    x = torch.randn(2, 6, 9, 7)
    total = torch.randn(2, 4, 9, 7).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = total + convolution(x)
        fused = implementation(convolution, NO_ACTIVATION, torch.float32, torch.float32)
        added = fused.add_to(total, x)
        torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-4)
        assert added.data_ptr() == total.data_ptr()


@REQUIRES_ONEDNN
def test_activation_is_applied_to_the_sum() -> None:
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
        for activation, expected in known.items():
            fused = OneDnnConv(convolution, activation, torch.float32, torch.float32)
            torch.testing.assert_close(fused.add_to(total.clone(), x), expected, rtol=1e-4, atol=1e-4)


@REQUIRES_ONEDNN
def test_write_to_writes_the_output_into_given_memory() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 4, 1)
    x, output = torch.randn(1, 6, 9, 7), torch.zeros(3, 63, 4)
    with torch.inference_mode():
        OneDnnConv(convolution, NO_ACTIVATION, torch.float32, torch.float32).write_to(output[1], x)
        expected = convolution(x).permute(0, 2, 3, 1).reshape(63, 4)
    torch.testing.assert_close(output[1], expected, rtol=1e-4, atol=1e-4)
    assert not output[0].any() and not output[2].any()


@REQUIRES_BFLOAT16
@REQUIRES_ONEDNN
def test_split_weights_have_float32_precision() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 8, 1)
    x = torch.randn(2, 32, 9, 7).bfloat16()
    with torch.inference_mode():
        expected = convolution.double()(x.double()).clamp(0, 6).float()
        found = SplitWeightConv(convolution.float(), ("hardtanh", 0.0, 6.0))(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@REQUIRES_BFLOAT16
@EACH_IMPLEMENTATION
def test_bfloat16_rounds_inputs_weights_and_outputs(implementation: type[FusedConv]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(16, 8, 3, padding=1)
    x = torch.randn(2, 16, 9, 7)
    with torch.inference_mode():
        found = implementation(convolution, NO_ACTIVATION, torch.bfloat16, torch.bfloat16)(x)
        finer = implementation(convolution, NO_ACTIVATION, torch.bfloat16, torch.float32)(x)
        assert (found.dtype, finer.dtype) == (torch.bfloat16, torch.float32)
        weight = convolution.weight.bfloat16().float()
        expected = nn.functional.conv2d(x.bfloat16().float(), weight, convolution.bias, padding=1)
    torch.testing.assert_close(found.float(), expected, **BFLOAT16_TOLERANCE)
    torch.testing.assert_close(
        finer, expected, **({"rtol": 1e-4, "atol": 1e-4} if implementation is OneDnnConv else BFLOAT16_TOLERANCE)
    )


@EACH_IMPLEMENTATION
def test_channel_slices_and_empty_batches(implementation: type[FusedConv]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 4, 1)
    x = torch.randn(2, 16, 5, 3).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        fused = implementation(convolution, NO_ACTIVATION, torch.float32, torch.float32)
        torch.testing.assert_close(fused(x[:, 8:]), convolution(x[:, 8:]))
        torch.testing.assert_close(fused(x[:0, 8:]), convolution(x[:0, 8:]))


@EACH_IMPLEMENTATION
def test_concurrent_calls_of_many_shapes(implementation: type[FusedConv], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "MAX_CACHED_SHAPES", 3)
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 8, 3, padding=1)
    fused = implementation(convolution, NO_ACTIVATION, torch.float32, torch.float32)

    def differences(seed: int) -> float:
        x = torch.randn(1, 8, 20 + seed % 5, 30, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            return float((fused(x) - convolution(x)).abs().max())

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(differences, range(200))) < 1e-4
