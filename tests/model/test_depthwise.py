import torch
from torch import nn

from onelook.model.depthwise import Float32DepthwiseConv2d


def test_it_is_the_depthwise_convolution_of_torch() -> None:
    own = Float32DepthwiseConv2d(6, 3, stride=2, padding=1)
    peer = nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False)
    peer.load_state_dict(own.state_dict())
    x = torch.randn(2, 6, 9, 7)
    assert own(x).equal(peer(x))


def test_autocast_leaves_it_in_float32_on_a_cpu() -> None:
    own = Float32DepthwiseConv2d(6, 3, padding=1)
    x = torch.randn(2, 6, 8, 8).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = own(x)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, own(x.float()), rtol=0, atol=0)
    result.sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.bfloat16
