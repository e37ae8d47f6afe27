import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.networks import tiny_embedding
from onelook.export.onnx_embedding import LinearWarpGrid, OnnxEmbeddingHead
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.sampling_grid import center_grid, roi_grid, warp_grid
from onelook.model.embedding_head import EmbeddingHead

WIDTHS = {1: 3, 2: 4, 4: 8, 8: 8, 16: 8}
GRIDS = {"warp": warp_grid, "roi": roi_grid, "center": center_grid}


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
    "pixels": head(strides=(1, 4, 16)),
}


def maps(batch: int, height: int, width: int) -> list[torch.Tensor]:
    return [torch.randn(batch, wide, -(-height // s), -(-width // s)) for s, wide in WIDTHS.items()]


def faces(sides: list[float], height: int, width: int) -> torch.Tensor:
    """Return landmarks of upright faces of given sides, in pixels, in and around an image."""
    middles = (torch.rand(len(sides), 1, 2) * 1.4 - 0.2) * torch.tensor([width, height])
    return middles + (torch.from_numpy(REFERENCE_LANDMARKS) / 112 - 0.5) * torch.tensor(sides)[:, None, None]


@pytest.mark.parametrize("name", HEADS)
@torch.inference_mode()
def test_onnx_head_equals_the_embedding_head(name: str) -> None:
    torch.manual_seed(5)  # no two faces are so far outside that their samples are equal
    feature_maps = maps(2, 150, 210)
    sides = [9.0, 20.0, 37.0, 60.0, 115.0, 200.0, 390.0, 800.0]
    landmarks = faces(sides, 150, 210)
    expected = HEADS[name](feature_maps, [landmarks[:5], landmarks[5:]])
    owners = torch.tensor([0] * 5 + [1] * 3)
    torch.testing.assert_close(
        OnnxEmbeddingHead(HEADS[name])(feature_maps, landmarks, owners), expected, rtol=0, atol=1e-4
    )
    assert (expected[:, None] - expected).norm(dim=-1).add(torch.eye(8)).min() > 1e-3


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.lists(st.floats(4, 3000), min_size=1, max_size=5),
    st.integers(0, 2**31),
)
@settings(max_examples=30)
@torch.inference_mode()
def test_small_maps_that_cannot_be_halved_further(height: int, width: int, sides: list[float], seed: int) -> None:
    torch.manual_seed(seed)
    feature_maps, landmarks = maps(1, height, width), faces(sides, height, width)
    spacing = torch.tensor(sides) / 28 / 2
    near = ((torch.log2(spacing) % 1) - 0.5).abs() < 1e-4  # rounding up or down depends on the last digit
    expected = HEADS["warp"](feature_maps, [landmarks])
    found = OnnxEmbeddingHead(HEADS["warp"])(feature_maps, landmarks, torch.zeros(len(sides), dtype=torch.int64))
    torch.testing.assert_close(found[~near], expected[~near], rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampling", GRIDS)
@pytest.mark.parametrize("extent", [1.0, 1.4])
def test_linear_warp_grid_equals_the_grid_of_the_head(sampling: str, extent: float) -> None:
    # Random points too, as an untrained landmark head predicts them.
    torch.manual_seed(3)
    widths = dict.fromkeys((2, 4, 8, 16), 8)
    head = EmbeddingHead(widths, tiny_embedding(8, sampling=sampling, extent=extent))
    landmarks = torch.rand(40, 5, 2) * torch.logspace(0, 3, 40)[:, None, None] + torch.rand(40, 1, 2) * 600
    expected = GRIDS[sampling](landmarks.double(), 28, extent).flatten(1, 2)
    torch.testing.assert_close(LinearWarpGrid(head.sampler, 28)(landmarks).double(), expected, rtol=1e-6, atol=2e-3)
    small = landmarks[:20]
    torch.testing.assert_close(LinearWarpGrid(head.sampler, 28)(small).double(), expected[:20], rtol=1e-6, atol=3e-4)
