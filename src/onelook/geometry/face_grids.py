"""Where a face given by its five landmarks is sampled: grids of an aligned square, of an upright one, of one point.

Points are continuous coordinates: pixel k covers [k, k + 1), its centre is k + 0.5.
"""

import torch
from torch import Tensor

from onelook.geometry.alignment import CROP, TEMPLATE, similarity_transform


def sampling_grid(landmarks: Tensor, samples: int, extent: float = 1.0) -> Tensor:
    """Where in the photo an aligned face is sampled.

    Args:
        landmarks: (n, 5, 2) in pixels of the photo.
        samples: samples along each side of the aligned square.
        extent: side of that square, in sides of the crop that `TEMPLATE` belongs to; they share their centre.

    Returns:
        (n, samples, samples, 2) x and y in pixels of the photo, row by row of the aligned square.
    """
    template = torch.from_numpy(TEMPLATE).to(landmarks)
    transforms = similarity_transform(template.expand(len(landmarks), 5, 2), landmarks)
    steps = _steps(landmarks, samples, extent)
    # The sum of a row and a column, for x and for y: a product of matrices with so small a side is slow.
    rows = transforms[:, :, 0, None] * steps + transforms[:, :, 2, None]
    columns = transforms[:, :, 1, None] * steps
    return (rows[:, :, None] + columns[..., None]).permute(0, 2, 3, 1)


def upright_grid(landmarks: Tensor, samples: int, extent: float = 1.0) -> Tensor:
    """As `sampling_grid`, but along the photo's own axes, however the face is turned: the square of a region.

    The square lies about the mean of the five points, and grows with the longer side of the box around them, as the
    crop does in `TEMPLATE`: for points that are the template, moved and scaled, it is the grid of `sampling_grid`.
    """
    template = torch.from_numpy(TEMPLATE).to(landmarks)
    scale = _longer_side(landmarks) / _longer_side(template)
    points = (_square(landmarks, samples, extent) - template.mean(0)) * scale[:, None, None]
    return (points + landmarks.mean(1, keepdim=True)).unflatten(1, (samples, samples))


def centre_grid(landmarks: Tensor, samples: int, extent: float = 1.0) -> Tensor:
    """As `sampling_grid`, but every sample is taken at the mean of the five points; `extent` changes nothing."""
    return landmarks.mean(1)[:, None, None].expand(-1, samples, samples, 2)


def _square(like: Tensor, samples: int, extent: float) -> Tensor:
    """The samples (1, samples * samples, 2) in pixels of the aligned crop, row by row."""
    steps = _steps(like, samples, extent)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1).reshape(1, -1, 2)


def _steps(like: Tensor, samples: int, extent: float) -> Tensor:
    """The samples (samples,) along a side of the aligned crop, in its pixels."""
    steps = (torch.arange(samples, dtype=like.dtype, device=like.device) + 0.5) / samples
    return CROP * ((steps - 0.5) * extent + 0.5)


def _longer_side(points: Tensor) -> Tensor:
    """Of the box around points (..., k, 2)."""
    return (points.amax(-2) - points.amin(-2)).amax(-1)
