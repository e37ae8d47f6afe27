"""Windows of a detection cascade: squares, regression offsets normalized by the window, and area-averaged crops.

Windows are boxes x1 y1 x2 y2, half-open, in pixels. No function has a loop over windows.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class WindowOutput(NamedTuple):
    """Outputs of a network of the cascade, for n images with h x w windows each.

    Attributes:
        logits: (n, 2, h, w), no face and face.
        offsets: (n, 4, h, w), as in `encode_offsets`.
        landmarks: (n, 10, h, w), as in `encode_points`.
    """

    logits: Tensor
    offsets: Tensor
    landmarks: Tensor


def square_windows(boxes: Tensor) -> Tensor:
    """Extend boxes (..., 4) about their centers to squares of their longer side."""
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    halves = _sides(boxes).amax(-1, keepdim=True) / 2
    return torch.cat([centers - halves, centers + halves], -1)


def encode_offsets(boxes: Tensor, windows: Tensor) -> Tensor:
    """Encode boxes (..., 4) as the offsets (..., 4) of their corners from those of windows (..., 4).

    Offsets are divided by the sides of the window, so they do not depend on the size of a face.
    """
    return (boxes - windows) / torch.cat([_sides(windows)] * 2, -1)


def decode_offsets(offsets: Tensor, windows: Tensor) -> Tensor:
    """Decode offsets (..., 4) from windows (..., 4) to boxes (..., 4); the inverse of `encode_offsets`."""
    return windows + offsets * torch.cat([_sides(windows)] * 2, -1)


def encode_points(points: Tensor, windows: Tensor) -> Tensor:
    """Encode points (..., 5, 2) as positions (..., 10) in windows (..., 4): 0 is the top left corner, 1 the other."""
    return ((points - windows[..., None, :2]) / _sides(windows)[..., None, :]).flatten(-2)


def decode_points(positions: Tensor, windows: Tensor) -> Tensor:
    """Decode positions (..., 10) in windows (..., 4) to points (..., 5, 2); the inverse of `encode_points`."""
    return windows[..., None, :2] + positions.unflatten(-1, (5, 2)) * _sides(windows)[..., None, :]


def integral_images(images: Tensor) -> Tensor:
    """Compute the integral images (Viola and Jones 2001, section 2.1) of images (B, 3, H, W) uint8.

    Returns:
        (B, H + 1, W + 1, 3) int64: the sums of the pixels above and left of each corner of a pixel.
    """
    sums = images.to(torch.int64).cumsum(2).cumsum(3)
    return functional.pad(sums, (1, 0, 1, 0)).permute(0, 2, 3, 1).contiguous()


def sample_windows(integrals: Tensor, images: Tensor, windows: Tensor, size: int) -> Tensor:
    """Crop windows and resize them by area averaging.

    - Windows are cut at whole pixels and at the borders of their image. What is left is stretched to the square.
    - A pixel of the crop is the mean of all pixels that it overlaps, as in `adaptive_avg_pool2d`.

    Args:
        integrals: from `integral_images`.
        images: (n,) int64, the image of each window.
        windows: (n, 4).
        size: side of a crop, in pixels.

    Returns:
        (n, 3, size, size) float32 in 0..255; zeros for a window outside its image.
    """
    rows, columns = integrals.shape[1:3]
    left, right = _bin_edges(windows[:, ::2], columns - 1, size)
    top, bottom = _bin_edges(windows[:, 1::2], rows - 1, size)
    table = integrals.flatten(0, 2)
    first = images[:, None, None] * (rows * columns)

    def sums_to(y: Tensor, x: Tensor) -> Tensor:
        return table[first + y[:, :, None] * columns + x[:, None, :]]  # (n, size, size, 3)

    sums = sums_to(bottom, right) - sums_to(top, right) - sums_to(bottom, left) + sums_to(top, left)
    areas = (bottom - top)[:, :, None] * (right - left)[:, None, :]
    return (sums / areas.clamp(min=1)[..., None]).permute(0, 3, 1, 2)


def _bin_edges(spans: Tensor, end: int, size: int) -> tuple[Tensor, Tensor]:
    """Divide spans (n, 2), cut to 0..`end`, into bins; return their first pixels and ends, (n, size) int64 each."""
    first, last = spans.floor().clamp(0, end).long().unbind(1)
    bins = torch.arange(size, device=spans.device)
    extents = (last - first).clamp(min=0)[:, None]
    starts = first[:, None] + bins * extents // size
    return starts, first[:, None] + (bins * extents + extents + size - 1) // size


def _sides(windows: Tensor) -> Tensor:
    """Return width and height (..., 2) of windows (..., 4)."""
    return windows[..., 2:] - windows[..., :2]
