"""Which anchor answers for which face."""

from typing import NamedTuple

import torch
from torch import Tensor

from onelook.geometry.overlap import areas, pairwise_intersection, pairwise_iou
from onelook.settings import Thresholds

BACKGROUND = -1
IGNORED = -2


class Matches(NamedTuple):
    """faces: (n,) int64, each anchor's face, `BACKGROUND` or `IGNORED`."""

    faces: Tensor

    @property
    def positive(self) -> Tensor:
        """(n,) bool: anchors that answer for a face."""
        return self.faces >= 0

    @property
    def negative(self) -> Tensor:
        """(n,) bool: anchors that must say background."""
        return self.faces == BACKGROUND


# An anchor half inside an ignored box shows what is in it, whatever their sizes (as in COCO's crowds).
_INSIDE = 0.5


def match_anchors(anchors: Tensor, boxes: Tensor, settings: Thresholds, ignored: Tensor | None = None) -> Matches:
    """Match anchors (n, 4) to faces (m, 4), both as x1 y1 x2 y2.

    An anchor belongs to the face it overlaps most, if by `positive` or more; to the background, if by less than
    `negative`; between them it is ignored. Every face gets at least the anchor that overlaps it most, if any does
    (SSD, Liu et al. 2016, section 2.2); where two faces claim one anchor, the later face has it. Background that lies
    half inside one of the `ignored` boxes (k, 4), or would not be background if that were a face, is ignored.
    """
    faces = _match(anchors, boxes, settings)
    if ignored is not None and len(ignored):
        upon = (pairwise_iou(anchors, ignored) >= settings.negative).any(1)
        inside = pairwise_intersection(anchors, ignored) >= _INSIDE * areas(anchors)[:, None]
        faces[(faces == BACKGROUND) & (upon | inside.any(1))] = IGNORED
    return Matches(faces)


def _match(anchors: Tensor, boxes: Tensor, settings: Thresholds) -> Tensor:
    if len(boxes) == 0:
        return torch.full((len(anchors),), BACKGROUND, dtype=torch.int64)
    overlap = pairwise_iou(anchors, boxes)
    best, faces = overlap.max(dim=1)
    faces[best < settings.positive] = IGNORED
    faces[best < settings.negative] = BACKGROUND
    highest, nearest = overlap.max(dim=0)
    for face in (highest > 0).nonzero()[:, 0].tolist():
        faces[nearest[face]] = face
    return faces
