"""Training windows of MTCNN: drawn around faces, drawn at random, and those in which the cascade so far sees a face.

Windows are sorted by their IoU with the labeled faces (Zhang et al. 2016, section III):

| source | IoU | trains |
|---|---|---|
| negative | below 0.3 | classification |
| positive | above 0.65 | classification, box |
| part | from 0.4 to 0.65 | box |
| landmark | above 0.65, of a face with labeled points | landmarks |

Their numbers are drawn on the CPU, and all else is computed on the device of the labels, which never waits for it.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from onelook.data.scene_dataset import SceneBatch
from onelook.geometry.boxes import box_areas, pairwise_intersection, pairwise_iou
from onelook.geometry.windows import encode_offsets, encode_points
from onelook.losses.mtcnn import WindowTargets

NEGATIVE_IOU, PART_IOU, POSITIVE_IOU = 0.3, 0.4, 0.65
MIN_SIZE = 12
"""Smallest side of a training window, in pixels: the window of P-Net without enlarging."""
POSITIVES_PER_SCENE = 8
"""Positive windows of a step at most, as a multiple of its scenes."""
SHARES = (3, 1, 1, 2)
"""Windows of each source as a multiple of the positive ones, in the order of the paper's ratio."""

_NEGATIVE, _POSITIVE, _PART, _LANDMARK = range(4)

# Windows drawn around each face close to its box, and farther off; and anywhere in each image.
_CLOSE, _FAR, _ANYWHERE = 12, 4, 24
# Sides of a window as multiples of the face's shorter and longer side, and shifts as a fraction of its sides.
_CLOSE_SIDES, _CLOSE_SHIFT = (0.8, 1.25), 0.2
_FAR_SIDES, _FAR_SHIFT = (0.4, 2.0), 1.0


class WindowDraws(NamedTuple):
    """Random numbers of a batch of B scenes with M faces each, float32 in 0..1.

    Attributes:
        around: (B, M, _CLOSE + _FAR, 3) side and shift of windows around faces.
        anywhere: (B, _ANYWHERE, 3) side and place of other windows.
    """

    around: Tensor
    anywhere: Tensor


class WindowBatch(NamedTuple):
    """Windows of a step.

    Attributes:
        windows: (n, 4; x1 y1 x2 y2) at whole pixels of the scenes.
        images: (n,) int64, the scene of each.
        targets: of each; a window without a source trains nothing.
    """

    windows: Tensor
    images: Tensor
    targets: WindowTargets


def draw_windows(batch: SceneBatch, rng: np.random.Generator) -> WindowDraws:
    """Draw the random numbers of the windows of a batch."""
    scenes, faces = batch.boxes.shape[:2]
    shapes = (scenes, faces, _CLOSE + _FAR, 3), (scenes, _ANYWHERE, 3)
    return WindowDraws(*(torch.from_numpy(rng.random(shape, np.float32)) for shape in shapes))


def make_windows(batch: SceneBatch, draws: WindowDraws) -> Tensor:
    """Place the drawn windows in their scenes.

    A window over the edge of its scene is moved inside. `sample_windows` would cut it there and stretch the rest, which
    P-Net never sees: it gets whole windows.

    Returns:
        (B, n, 4), those around faces first; empty for a padded face.
    """
    extent = batch.images.shape[-1]
    x1, y1, x2, y2 = batch.boxes[:, :, None].unbind(-1)
    sides = torch.stack([x2 - x1, y2 - y1], -1)
    centers = torch.stack([x1 + x2, y1 + y2], -1) / 2
    parts = []
    for drawn, (low, high), shift in zip(
        draws.around.split([_CLOSE, _FAR], 2), (_CLOSE_SIDES, _FAR_SIDES), (_CLOSE_SHIFT, _FAR_SHIFT), strict=True
    ):
        smallest, largest = low * sides.amin(-1), high * sides.amax(-1)
        side = (smallest + drawn[..., 0] * (largest - smallest)).clip(max=extent)
        parts.append(_squares(centers + (2 * drawn[..., 1:] - 1) * shift * sides, side))
    # Half of the scene is the largest side; sides are drawn uniformly in their logarithm.
    side = MIN_SIZE * (extent / 2 / MIN_SIZE) ** draws.anywhere[..., 0]
    anywhere = _squares(side[..., None] / 2 + draws.anywhere[..., 1:] * (extent - side[..., None]), side)
    windows = torch.cat([*(part.flatten(1, 2) for part in parts), anywhere], 1).floor()
    return _move_inside(windows, extent)


def select_windows(batch: SceneBatch, windows: Tensor, priorities: Tensor) -> WindowBatch:
    """Select the windows of every source, and compute their targets.

    Args:
        batch: scenes with their labels, on the device.
        windows: (B, n, 4) at whole pixels.
        priorities: (2, B, n); of the windows of a source, the highest are selected, landmark windows by the second.
    """
    ious, faces = pairwise_iou(windows, batch.boxes).max(-1)
    masks = _source_masks(batch, windows, ious, faces)
    index, sources = _take_sources(masks, priorities, POSITIVES_PER_SCENE * len(windows))
    images = index // windows.shape[1]
    selected, face = windows.flatten(0, 1)[index], faces.flatten()[index]
    # Where a source has too few windows, the selection has others, which may be empty.
    divisors = torch.cat([selected[:, :2], torch.maximum(selected[:, 2:], selected[:, :2] + 1)], 1)
    targets = WindowTargets(
        is_face=sources == _POSITIVE,
        offsets=encode_offsets(batch.boxes[images, face], divisors),
        landmarks=encode_points(batch.landmarks[images, face], divisors),
        trains_classification=(sources == _NEGATIVE) | (sources == _POSITIVE),
        trains_box=(sources == _POSITIVE) | (sources == _PART),
        trains_landmarks=sources == _LANDMARK,
    )
    return WindowBatch(selected, images, targets)


def _source_masks(batch: SceneBatch, windows: Tensor, ious: Tensor, faces: Tensor) -> tuple[Tensor, ...]:
    """Return a mask (B, n) of the windows of each source, from the highest IoU of each and its face."""
    centers = (windows[..., :2] + windows[..., 2:]) / 2
    is_inside = ((centers >= 0) & (centers <= batch.images.shape[-1])).all(-1)
    is_usable = is_inside & ((windows[..., 2:] - windows[..., :2]).amin(-1) >= MIN_SIZE)
    is_positive = is_usable & (ious > POSITIVE_IOU)
    has_points = batch.landmarks.isfinite().all(-1).any(-1).gather(1, faces)
    return (
        is_usable & (ious < NEGATIVE_IOU) & ~_in_ignored(windows, batch.ignored),
        is_positive,
        is_usable & (ious >= PART_IOU) & (ious <= POSITIVE_IOU),
        is_positive & has_points,
    )


def _take_sources(masks: tuple[Tensor, ...], priorities: Tensor, positives: int) -> tuple[Tensor, Tensor]:
    """Take the windows of highest priority of every source.

    Returns:
        Their indices (m,) in the flattened batch, and the source (m,) of each, -1 where the source has too few.
    """
    indices, sources = [], []
    for source, (mask, share) in enumerate(zip(masks, SHARES, strict=True)):
        own = priorities[1 if source == _LANDMARK else 0].where(mask, -1).flatten()
        best = own.topk(min(share * positives, len(own)))
        indices.append(best.indices)
        sources.append(torch.full_like(best.indices, source).where(best.values >= 0, -1))
    return torch.cat(indices), torch.cat(sources)


def _squares(centers: Tensor, sides: Tensor) -> Tensor:
    """Return squares (..., 4) from centers (..., 2) and sides (...)."""
    halves = sides[..., None] / 2
    return torch.cat([centers - halves, centers + halves], -1)


def _move_inside(windows: Tensor, extent: int) -> Tensor:
    """Move windows (..., 4) by the least distance into a scene of `extent` pixels a side, which is not below theirs."""
    shifts = (-windows[..., :2]).clip(min=0) - (windows[..., 2:] - extent).clip(min=0)
    return windows + torch.cat([shifts, shifts], -1)


def _in_ignored(windows: Tensor, ignored: Tensor | None) -> Tensor:
    """Return the mask (B, n) of the windows that lie half inside a region of uncertain faces, or overlap it."""
    if ignored is None:
        return torch.zeros_like(windows[..., 0], dtype=torch.bool)
    inside = pairwise_intersection(windows, ignored) >= 0.5 * box_areas(windows)[..., None].clip(min=1)
    return (inside | (pairwise_iou(windows, ignored) >= NEGATIVE_IOU)).any(-1)
