"""RetinaFace's dense regression loss (Deng et al., arXiv 1905.00641, equation 2)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from onelook.data.scene_dataset import SceneBatch
from onelook.distributed import all_gather, loss_divisor, rank
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import decode_landmarks
from onelook.losses.detection import Matches
from onelook.model.dense_head import DenseHead, cut_boxes, render_boxes, whole_pixels


def pixel_loss(rendered: Tensor, mask: Tensor, real: Tensor) -> Tensor:
    """The mean L1 distance of the colors of rendered and real faces, a scalar; 0 where nothing is rendered.

    Of each face the mean over its pixels where something is rendered, then over the faces that have one, in
    all processes that train together.

    Args:
        rendered: (n, h, w, 3) RGB.
        mask: (n, h, w) bool, where a face is rendered.
        real: (n, h, w, 3) RGB of the same range.
    """
    distances = (rendered - real).abs().sum(-1).where(mask, 0).sum((1, 2))
    pixels = mask.sum((1, 2))
    shown = pixels > 0
    return (distances / pixels.clip(min=1)).sum() / loss_divisor(int(shown.sum()))


SIDE = 48
"""Of the squares that faces are rendered into, in pixels."""
FACES = 16
"""Rendered in a step of all processes, at most: a face takes some milliseconds."""
SMALLEST = 24
"""Shorter side of the smallest of them, in pixels of the photo: smaller ones are a few spots of color."""


def rendering_loss(
    head: DenseHead,
    features: Sequence[Tensor],
    outputs: AnchorOutputs,
    anchors: Tensor,
    matches: Sequence[Matches],
    batch: SceneBatch,
    rng: np.random.Generator,
) -> Tensor:
    """L_pixel at some of the anchors that answer for a face, a scalar; 0 where there is none.

    The mean face stands on the landmarks that the anchor tells, which learn nothing from it; rendered and real face are
    compared inside the labeled box.

    Args:
        head: the dense head.
        features: the maps it reads, per level.
        outputs: what the heads say of every anchor.
        anchors: (B, n, 4), center and size, that their offsets lead from.
        matches: per image.
        batch: the photos and the labeled boxes.
        rng: chooses among the anchors, the same in all processes that train together.
    """
    images, rows = torch.stack([match.positive for match in matches]).nonzero(as_tuple=True)
    boxes = torch.cat([own[match.faces[match.positive]] for own, match in zip(batch.boxes, matches, strict=True)])
    boxes = whole_pixels(boxes, *batch.images.shape[2:])
    large = ((boxes[:, 2:] - boxes[:, :2]).amin(1) >= SMALLEST).nonzero()[:, 0]
    chosen = large[_chosen(len(large), rng)]
    images, rows, boxes = images[chosen], rows[chosen], boxes[chosen]
    landmarks = decode_landmarks(outputs.landmarks[images, rows].detach(), anchors[images, rows])
    rendered = render_boxes(head(features, images, rows, landmarks), boxes, SIDE)
    return pixel_loss(rendered.pictures, rendered.mask, cut_boxes(batch.images, images, boxes, SIDE))


def _chosen(count: int, rng: np.random.Generator) -> Tensor:
    """Which of this process's `count` faces are among the `FACES` drawn from those of all processes."""
    counts = all_gather(torch.tensor([count])).tolist()
    drawn = rng.permutation(sum(counts))[:FACES] - sum(counts[: rank()])
    return torch.from_numpy(drawn[(drawn >= 0) & (drawn < count)])
