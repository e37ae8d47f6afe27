import pytest
import torch
from torch import nn

from onelook.model.depthwise import Float32DepthwiseConv2d
from onelook.model.embedding_head import EmbeddingHead
from onelook.settings import EmbeddingSettings


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


@pytest.mark.parametrize("strides", [(2, 4, 8, 16), (1, 4, 8, 16)])
def test_embeddings_and_gradients_in_bfloat16_are_close_and_embeddings_are_float32(strides: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    channels = {2: 16, 4: 32, 8: 64, 16: 64} if strides[0] == 2 else {1: 3, 4: 32, 8: 64, 16: 64}
    # In training, the norms of untrained layers would amplify the rounding.
    head = EmbeddingHead(channels, EmbeddingSettings(strides=strides, dim=32)).eval()
    maps = [torch.randn(1, c, 160 // s, 160 // s) for s, c in channels.items()]
    points = [torch.rand(8, 5, 2) * 60 + 50]
    target = nn.functional.normalize(torch.randn(8, 32))
    results = []
    for enabled in (False, True):
        head.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            embeddings = head(maps, points)
        assert embeddings.dtype == torch.float32
        (1 - (embeddings * target).sum(1)).mean().backward()
        results.append((embeddings.detach(), head.fusion[0].weight.grad.clone()))
    (exact, exact_gradient), (rounded, gradient) = results
    assert (exact * rounded).sum(1).min() > 0.99
    assert nn.functional.cosine_similarity(exact_gradient.flatten(), gradient.flatten(), dim=0) > 0.8
