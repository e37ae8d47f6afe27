import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.networks import tiny_embedding
from onelook.export.onnx_embedding import FaceEmbedding
from onelook.geometry.alignment import TEMPLATE
from onelook.model.embedding_head import EmbeddingHead

WIDTHS = {2: 4, 4: 8, 8: 8, 16: 8}


def head(**changes: object) -> EmbeddingHead:
    torch.manual_seed(1)
    made = EmbeddingHead(WIDTHS, tiny_embedding(8, **changes)).eval()
    for name, value in made.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return made


HEADS = {
    "warp": head(),
    "roi": head(sampling="roi", extent=1.3),
    "center": head(sampling="center"),
    "two strides": head(strides=(4, 16)),
    "one stride": head(strides=(8,)),
}


def maps(batch: int, height: int, width: int) -> list[torch.Tensor]:
    return [torch.randn(batch, wide, -(-height // s), -(-width // s)) for s, wide in WIDTHS.items()]


def faces(sides: list[float], height: int, width: int) -> torch.Tensor:
    """Upright faces of these sides, in pixels, about points in and around a photo."""
    middles = (torch.rand(len(sides), 1, 2) * 1.4 - 0.2) * torch.tensor([width, height])
    return middles + (torch.from_numpy(TEMPLATE) / 112 - 0.5) * torch.tensor(sides)[:, None, None]


@pytest.mark.parametrize("name", HEADS)
@torch.inference_mode()
def test_every_head_says_what_it_says_without(name: str) -> None:
    torch.manual_seed(5)  # no two faces so far outside that they look the same
    shown = maps(2, 150, 210)
    sides = [9.0, 20.0, 37.0, 60.0, 115.0, 200.0, 390.0, 800.0]
    landmarks = faces(sides, 150, 210)
    expected = HEADS[name](shown, [landmarks[:5], landmarks[5:]])
    owners = torch.tensor([0] * 5 + [1] * 3)
    torch.testing.assert_close(FaceEmbedding(HEADS[name])(shown, landmarks, owners), expected, rtol=0, atol=1e-4)
    assert (expected[:, None] - expected).norm(dim=-1).add(torch.eye(8)).min() > 1e-3


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.lists(st.floats(4, 3000), min_size=1, max_size=5),
    st.integers(0, 2**31),
)
@settings(max_examples=30)
@torch.inference_mode()
def test_photos_of_any_size_whose_maps_cannot_be_halved_further(
    height: int, width: int, sides: list[float], seed: int
) -> None:
    torch.manual_seed(seed)
    shown, landmarks = maps(1, height, width), faces(sides, height, width)
    spacing = torch.tensor(sides) / 28 / 2
    near = ((torch.log2(spacing) % 1) - 0.5).abs() < 1e-4  # rounded up or down by the last digit
    expected = HEADS["warp"](shown, [landmarks])
    told = FaceEmbedding(HEADS["warp"])(shown, landmarks, torch.zeros(len(sides), dtype=torch.int64))
    torch.testing.assert_close(told[~near], expected[~near], rtol=0, atol=1e-4)
