"""Windows: offsets, and crops by area averaging against torch's own."""

import torch
from torch.nn import functional

from onelook.geometry.windows import (
    decode_offsets,
    decode_points,
    encode_offsets,
    encode_points,
    integral_images,
    sample_windows,
    square_windows,
)

WINDOWS = torch.tensor([[10.0, 20, 30, 40], [0, 0, 100, 50]])


def test_offsets_and_points_are_fractions_of_the_window() -> None:
    box = torch.tensor([12.0, 18, 30, 44])
    assert encode_offsets(box, WINDOWS[0]).tolist() == torch.tensor([0.1, -0.1, 0, 0.2]).tolist()
    points = torch.tensor([[10.0, 20], [30, 40], [20, 30], [15, 20], [5, 40]])
    expected = torch.tensor([0, 0, 1, 1, 0.5, 0.5, 0.25, 0, -0.25, 1])
    assert encode_points(points, WINDOWS[0]).tolist() == expected.tolist()
    torch.testing.assert_close(decode_offsets(encode_offsets(box, WINDOWS), WINDOWS), box.expand(2, 4))
    torch.testing.assert_close(decode_points(encode_points(points, WINDOWS), WINDOWS), points.expand(2, 5, 2))


def test_squares_keep_center_and_longer_side() -> None:
    assert square_windows(WINDOWS).tolist() == [[10, 20, 30, 40], [0, -25, 100, 75]]


def test_windows_are_averaged_as_by_adaptive_pooling_of_what_lies_in_the_image() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 60, 80), dtype=torch.uint8, generator=generator)
    windows = torch.tensor([[3.0, 4, 9, 10], [-5.6, 7.2, 44.9, 71], [10, 0, 80, 60], [90, 5, 99, 9]])
    images_of = torch.tensor([0, 1, 1, 0])
    crops = sample_windows(integral_images(images), images_of, windows, 12)
    for crop, index, (x1, y1, x2, y2) in zip(
        crops[:3], images_of, [(3, 4, 9, 10), (0, 7, 44, 60), (10, 0, 80, 60)], strict=False
    ):
        expected = functional.adaptive_avg_pool2d(images[index, :, y1:y2, x1:x2].float(), 12)
        torch.testing.assert_close(crop, expected)
    assert not crops[3].any()
