"""Which anchor answers for which face."""

from typing import NamedTuple

import torch
from torch import Tensor

from onelook.geometry.boxes import pairwise_iou
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


def match_anchors(anchors: Tensor, boxes: Tensor, settings: Thresholds) -> Matches:
    """Match anchors (n, 4) to faces (m, 4), both as x1 y1 x2 y2.

    An anchor belongs to the face it overlaps most, if by `positive` or more; to the background, if by less than
    `negative`; between them it is ignored. Every face gets at least the anchor that overlaps it most, if any does
    (SSD, Liu et al. 2016, section 2.2); where two faces claim one anchor, the later face has it.
    """
    if len(boxes) == 0:
        return Matches(torch.full((len(anchors),), BACKGROUND, dtype=torch.int64))
    overlap = pairwise_iou(anchors, boxes)
    best, faces = overlap.max(dim=1)
    faces[best < settings.positive] = IGNORED
    faces[best < settings.negative] = BACKGROUND
    highest, nearest = overlap.max(dim=0)
    for face in (highest > 0).nonzero()[:, 0].tolist():
        faces[nearest[face]] = face
    return Matches(faces)
