import pytest
import torch

from helpers.networks import tiny_embedding
from onelook.export.onnx_embedding import FaceGrid
from onelook.geometry.sampling_grid import center_grid, roi_grid, warp_grid
from onelook.model.embedding_head import EmbeddingHead

GRIDS = {"warp": warp_grid, "roi": roi_grid, "center": center_grid}


@pytest.mark.parametrize("sampling", GRIDS)
@pytest.mark.parametrize("extent", [1.0, 1.4])
def test_it_is_the_grid_of_the_head(sampling: str, extent: float) -> None:
    """Also of points no face has, which an untrained head tells."""
    torch.manual_seed(3)
    widths = dict.fromkeys((2, 4, 8, 16), 8)
    head = EmbeddingHead(widths, tiny_embedding(8, sampling=sampling, extent=extent))
    landmarks = torch.rand(40, 5, 2) * torch.logspace(0, 3, 40)[:, None, None] + torch.rand(40, 1, 2) * 600
    expected = GRIDS[sampling](landmarks.double(), 28, extent).flatten(1, 2)
    torch.testing.assert_close(FaceGrid(head, 28)(landmarks).double(), expected, rtol=1e-6, atol=2e-3)
    small = landmarks[:20]
    torch.testing.assert_close(FaceGrid(head, 28)(small).double(), expected[:20], rtol=1e-6, atol=3e-4)
