import pytest
import torch
from torch import nn

from onelook.gpu_check.roofline import Peaks, count_work, measure_peaks


def test_a_product_is_bound_by_its_operations_or_its_bytes() -> None:
    a, b = torch.ones(8, 16), torch.ones(16, 4)
    work = count_work(lambda: a @ b, Peaks(flops=1.0, bytes=1e9))
    assert work[:3] == (1, 2 * 8 * 16 * 4, 4 * (8 * 16 + 16 * 4 + 8 * 4))
    assert work.seconds == work.flops
    assert count_work(lambda: a @ b, Peaks(flops=1e9, bytes=1.0)).seconds == work.bytes


@pytest.mark.parametrize("groups", [1, 6])
def test_backward_of_a_convolution_is_twice_the_forward(groups: int) -> None:
    conv = nn.Conv2d(6, 6, 3, padding=1, groups=groups, bias=False)
    x = torch.ones(2, 6, 5, 7, requires_grad=True)
    peaks = Peaks(1.0, 1.0)
    forward = count_work(lambda: conv(x), peaks).flops
    assert forward == 2 * (2 * 6 * 5 * 7) * (6 // groups * 9)
    assert count_work(lambda: conv(x).sum().backward(), peaks).flops == 3 * forward


def test_views_are_no_work() -> None:
    x = torch.ones(4, 6)
    assert count_work(lambda: x.T.reshape(2, 12)[:, :3], Peaks(1.0, 1.0)).operations == 1  # the copy of the reshape


def test_peaks_are_measured_on_the_cpu_too() -> None:
    peaks = measure_peaks(torch.device("cpu"), torch.float32, size=64, copy_bytes=2**16)
    assert peaks.flops > 0 and peaks.bytes > 0
