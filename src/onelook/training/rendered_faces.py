"""Training of the dense head: faces rendered at sampled positive anchors are compared with the photo.

RetinaFace's dense regression branch (Deng et al., arXiv 1905.00641, section 3.2).
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from onelook.data.scene_dataset import SceneBatch
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import decode_landmarks
from onelook.losses.dense import pixel_loss
from onelook.losses.detection import Matches
from onelook.model.dense_head import DenseHead, crop_boxes, render_boxes, round_boxes
from onelook.training.anchor_sampling import sample_anchors

RENDERED_SIZE = 48
"""Side of the squares that faces are rendered into, in pixels."""
MAX_RENDERED_FACES = 16
"""Largest number of faces rendered in a step, over all processes; `benchmarks/dense_rendering.py` times them."""
MIN_RENDERED_SIZE = 24
"""Shorter side of the smallest boxes that are rendered, in pixels of the image."""


def rendering_loss(
    head: DenseHead,
    features: Sequence[Tensor],
    outputs: AnchorOutputs,
    anchors: Tensor,
    matches: Matches,
    batch: SceneBatch,
    rng: np.random.Generator,
) -> Tensor:
    """Compute the pixel loss of faces rendered at a sample of the positive anchors.

    The mean face is aligned to the predicted landmarks, which get no gradient from this loss. Rendered face and image
    are compared inside the labeled box.

    Args:
        head: the dense head.
        features: its input maps, per level.
        outputs: of the detection heads.
        anchors: (B, n, 4) center and size, the anchors that the offsets refer to.
        matches: of the batch.
        batch: the images and the labeled boxes.
        rng: samples the anchors, in the same state in every process.

    Returns:
        A scalar; 0 where no face is rendered.
    """
    boxes = round_boxes(batch.boxes.flatten(0, 1), *batch.images.shape[2:]).view_as(batch.boxes)
    is_large = (boxes[..., 2:] - boxes[..., :2]).amin(-1) >= MIN_RENDERED_SIZE  # (B, M)
    images, rows, valid = sample_anchors(matches.positive & matches.gather(is_large), MAX_RENDERED_FACES, rng)
    face_boxes = boxes[images, matches.faces[images, rows].clip(min=0)]
    landmarks = decode_landmarks(outputs.landmarks[images, rows].detach(), anchors[images, rows])
    rendered = render_boxes(head(features, images, rows, landmarks), face_boxes, RENDERED_SIZE)
    crops = crop_boxes(batch.images, images, face_boxes, RENDERED_SIZE)
    return pixel_loss(rendered.images, rendered.mask & valid[:, None, None], crops)
