import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.errors import DataError
from onelook.geometry.boxes import decode_boxes
from onelook.geometry.grid_anchors import (
    cell_to_anchor_offsets,
    initial_anchor_sizes,
    kmeans_anchor_sizes,
    make_cell_anchors,
)

SCALES = (5, 11, 19)


def test_there_are_as_many_anchors_as_the_cells_have_boxes() -> None:
    assert make_cell_anchors(640, 640, (5,), initial_anchor_sizes(1)).shape == (75, 4)
    assert make_cell_anchors(640, 640, SCALES, initial_anchor_sizes(3)).shape == (75 + 363 + 1083, 4)


def test_anchors_lie_mid_cell_scale_by_scale_row_by_row_size_by_size() -> None:
    sizes = torch.tensor([[[0.5, 0.4], [0.3, 0.2], [0.2, 0.2]], [[0.1, 0.1], [0.05, 0.1], [0.01, 0.02]]])
    anchors = make_cell_anchors(100, 200, (5, 11), sizes)
    # Cells of 40 x 20 pixels, anchors of shares of 200 x 100.
    wanted = [[20, 10, 100, 40], [20, 10, 60, 20], [20, 10, 40, 20], [60, 10, 100, 40]]
    torch.testing.assert_close(anchors[:4], torch.tensor(wanted, dtype=torch.float32))
    torch.testing.assert_close(anchors[15, :2], torch.tensor([20.0, 30.0]))  # the second row
    torch.testing.assert_close(anchors[75], torch.tensor([200 / 22, 100 / 22, 20.0, 10.0]))
    torch.testing.assert_close(anchors[-1], torch.tensor([200 - 200 / 22, 100 - 100 / 22, 2.0, 2.0]))


def test_a_box_is_its_cells_corner_and_a_multiple_of_its_anchor() -> None:
    """Use the cell in the fourth column and second row of 5 x 5, of a 500 x 250 photo: its corner is (300, 50)."""
    sizes = torch.tensor([[[0.4, 0.4], [0.2, 0.4], [0.1, 0.1]]])
    offsets = torch.zeros(75, 4)
    number = (1 * 5 + 3) * 3 + 1
    offsets[number] = torch.tensor([0.25, 0.9, math.log(2), math.log(0.5)])
    boxes = decode_boxes(cell_to_anchor_offsets(offsets, (5,), sizes), make_cell_anchors(250, 500, (5,), sizes))
    # The center: 300 + .25 * 100, 50 + .9 * 50; the size: 2 * (.2 * 500), .5 * (.4 * 250).
    torch.testing.assert_close(boxes[number], torch.tensor([325.0 - 100, 95 - 25, 325 + 100, 95 + 25]))


@given(seed=st.integers(0, 10**6), height=st.integers(20, 900), width=st.integers(20, 900))
def test_offsets_decode_to_what_the_coding_says_in_any_photo(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.rand(3, 3, 2, generator=generator) * 0.6 + 0.02
    offsets = torch.randn(1521, 4, generator=generator)
    boxes = decode_boxes(
        cell_to_anchor_offsets(offsets, SCALES, sizes), make_cell_anchors(height, width, SCALES, sizes)
    )
    first = {5: 0, 11: 75, 19: 75 + 363}
    for place, scale in enumerate(SCALES):
        row, column, size = (int(torch.randint(n, (), generator=generator)) for n in (scale, scale, 3))
        number = first[scale] + (row * scale + column) * 3 + size
        right, down, wider, taller = offsets[number].tolist()
        x, y = (column + right) * width / scale, (row + down) * height / scale
        half_w = float(sizes[place, size, 0]) * width * math.exp(wider) / 2
        half_h = float(sizes[place, size, 1]) * height * math.exp(taller) / 2
        wanted = torch.tensor([x - half_w, y - half_h, x + half_w, y + half_h])
        torch.testing.assert_close(boxes[number], wanted, rtol=1e-3, atol=1e-2 * max(height, width) / 100)


def test_planted_clusters_are_found_and_the_largest_go_to_the_coarsest_cells() -> None:
    rng = np.random.default_rng(3)
    sides = np.array([0.9, 0.75, 0.62, 0.48, 0.37, 0.27, 0.18, 0.1, 0.04])
    planted = np.stack([sides, sides * 0.8], axis=1)
    shares = rng.permutation(np.concatenate([planted + rng.normal(0, 0.003, (9, 2)) for _ in range(40)]))
    sizes = kmeans_anchor_sizes(shares, 3, seed=0)
    assert sizes.shape == (3, 3, 2) and sizes.dtype == torch.float32
    np.testing.assert_allclose(sizes.reshape(9, 2).numpy(), planted, atol=0.003)
    assert kmeans_anchor_sizes(shares, 3, seed=0).equal(sizes)
    # Of the middle three and their shapes alone: the single matrix has them all.
    middle = shares[(shares[:, 0] > 0.22) & (shares[:, 0] < 0.55)]
    np.testing.assert_allclose(kmeans_anchor_sizes(middle, 1, seed=0)[0].numpy(), planted[3:6], atol=0.003)


def test_too_few_faces_for_the_clusters_are_told_in_one_line() -> None:
    with pytest.raises(DataError, match=r"faces of 2 different sizes, too few for the 3 anchors") as caught:
        kmeans_anchor_sizes(np.array([[0.1, 0.2], [0.1, 0.2], [0.3, 0.2]]), 1, seed=0)
    assert "\n" not in str(caught.value)


def test_before_any_face_was_seen_the_anchors_are_squares_from_large_to_small() -> None:
    sizes = initial_anchor_sizes(3)
    assert sizes[0, 0].tolist() == pytest.approx([0.6, 0.6]) and sizes[2, 2].tolist() == pytest.approx([0.05, 0.05])
    assert (sizes.reshape(9, 2).diff(dim=0) < 0).all()
