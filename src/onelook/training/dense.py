"""What rendered faces cost in a batch of scenes: RetinaFace 2019's dense regression."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from onelook.data.batches import Batch
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import decode_landmarks
from onelook.model.dense import DenseHead, cut_boxes, render_boxes, whole_pixels
from onelook.objective.matching import Matches
from onelook.objective.pixel import pixel_loss
from onelook.together import gathered, rank

SIDE = 48
"""Of the squares that faces are rendered into, in pixels."""
FACES = 16
"""Rendered in a step of all processes, at most: a face takes some milliseconds."""
SMALLEST = 24
"""Shorter side of the smallest of them, in pixels of the photo: smaller ones are a few spots of colour."""


def rendering_loss(
    head: DenseHead,
    features: Sequence[Tensor],
    outputs: AnchorOutputs,
    anchors: Tensor,
    matches: Sequence[Matches],
    batch: Batch,
    rng: np.random.Generator,
) -> Tensor:
    """L_pixel at some of the anchors that answer for a face, a scalar; 0 where there is none.

    The mean face stands on the landmarks that the anchor tells, which learn nothing from it; rendered and real face are
    compared inside the labelled box.

    Args:
        head: the dense head.
        features: the maps it reads, per level.
        outputs: what the heads say of every anchor.
        anchors: (B, n, 4), centre and size, that their offsets lead from.
        matches: per image.
        batch: the photos and the labelled boxes.
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
    counts = gathered(torch.tensor([count])).tolist()
    drawn = rng.permutation(sum(counts))[:FACES] - sum(counts[: rank()])
    return torch.from_numpy(drawn[(drawn >= 0) & (drawn < count)])
