"""The pretended device detects what CUDA refuses or waits for."""

from collections.abc import Callable

import pytest
import torch

from helpers.pretend import kinds, watch

FAULTS: dict[str, Callable[[torch.Tensor], object]] = {
    "mixed": lambda x: x + torch.ones(4),
    "host": lambda x: x.sum().item(),
    "shape": lambda x: x[x > 0],
    "upload": lambda x: x[[0]],
    "order": lambda x: (
        torch.nn.functional.interpolate(x[None, None].requires_grad_(), (8, 8), mode="bilinear").sum().backward()
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_kind_of_event_is_counted(kind: str) -> None:
    x = torch.ones(3, 4).to("pretend")
    with watch() as events:
        FAULTS[kind](x)
    assert set(kinds(events)) == {kind}


def test_mixed_devices_and_numpy_are_refused() -> None:
    x = torch.ones(4).to("pretend")
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        FAULTS["mixed"](x)
    with pytest.raises(TypeError, match="can't convert pretend device type tensor to numpy"):
        x.numpy()
