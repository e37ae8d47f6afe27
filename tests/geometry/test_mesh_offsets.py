import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.mesh import NOSE_TIP, VERTICES, decode_mesh, encode_mesh


@given(st.integers(0, 1000))
def test_decoding_undoes_encoding_and_puts_the_nose_tip_at_depth_0(seed: int) -> None:
    vertices = torch.randn(3, VERTICES, 3, generator=torch.Generator().manual_seed(seed)) * 30 + 100
    anchors = torch.rand(3, 4, generator=torch.Generator().manual_seed(seed)) * 100 + 16
    decoded = decode_mesh(encode_mesh(vertices, anchors), anchors)
    torch.testing.assert_close(decoded[..., :2], vertices[..., :2], rtol=1e-4, atol=1e-3)
    depths = vertices[..., 2] - vertices[:, NOSE_TIP, 2][:, None]
    torch.testing.assert_close(decoded[..., 2], depths, rtol=1e-4, atol=1e-3)
    assert (decoded[:, NOSE_TIP, 2] == 0).all()


def test_an_offset_is_counted_in_sides_of_the_anchor() -> None:
    vertices = torch.full((1, VERTICES, 3), 8.0)
    vertices[0, 0] = torch.tensor([40.0, 4.0, 16.0])
    encoded = encode_mesh(vertices, torch.tensor([[24.0, 12.0, 16.0, 16.0]]))
    assert encoded[0, 0].tolist() == [1.0, -0.5, 0.5]
