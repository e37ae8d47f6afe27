from math import prod

import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.anchors import AnchorLevel
from onelook.inference.fast.layers import FusedAvgPool, FusedDetectionHeads, FusedUpsampleAdd
from onelook.model.detection_heads import DetectionHeads
from onelook.model.feature_sampler import AvgPool
from onelook.model.retinaface import UpsampleAdd


def test_fused_detection_heads_equal_the_heads() -> None:
    torch.manual_seed(0)
    levels = [AnchorLevel(8, (16, 32, 64)), AnchorLevel(16, (128,))]
    heads = DetectionHeads(5, levels)
    with torch.inference_mode():
        for batch in (2, 1):
            maps = [torch.randn(batch, 5, 4, 3), torch.randn(batch, 5, 2, 2)]
            for found, expected in zip(FusedDetectionHeads(heads)(maps), heads(maps), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@given(st.tuples(*[st.integers(1, 6)] * 4), st.booleans(), st.booleans())
def test_fused_upsample_add_equals_upsample_add(
    size: tuple[int, int, int, int], odd: bool, channels_last: bool
) -> None:
    torch.manual_seed(0)
    batch, channels, height, width = size
    coarse, fine = torch.randn(size), torch.randn(batch, channels, 2 * height - odd, 2 * width - odd)
    if channels_last:
        coarse, fine = (each.contiguous(memory_format=torch.channels_last) for each in (coarse, fine))
    expected = UpsampleAdd()(coarse, fine)
    with torch.inference_mode():
        torch.testing.assert_close(FusedUpsampleAdd()(coarse, fine), expected)


@given(st.tuples(*[st.integers(1, 12)] * 4), st.sampled_from([2, 4]))
def test_fused_avg_pool_equals_avg_pool2d(size: tuple[int, int, int, int], times: int) -> None:
    x = torch.arange(prod(size)).float().sin().reshape(size)
    expected = torch.nn.functional.avg_pool2d(x, times, ceil_mode=True)
    with torch.inference_mode():
        for pool in (AvgPool(), FusedAvgPool()):
            torch.testing.assert_close(pool(x, times), expected, rtol=1e-5, atol=1e-6)
