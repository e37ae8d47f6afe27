"""The cascade of MTCNN (Zhang et al. 2016): an image pyramid, three networks, and NMS between them.

All windows of all images of a batch are one batch of a network, on its device. The CPU waits for the device a few times
a network, however many faces there are. Windows are padded to the same number k in every image, the best score first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.boxes import pairwise_iou, pairwise_overlap
from onelook.geometry.windows import (
    WindowOutput,
    decode_offsets,
    decode_points,
    integral_images,
    sample_windows,
    square_windows,
)
from onelook.inference.batched_decoding import nms_batch
from onelook.model.mtcnn import CELL_STRIDE, WINDOW_SIZES

MIN_FACE = 20
"""Smallest face that P-Net looks for in an image, in its pixels."""
SCORES = (0.6, 0.7, 0.7)
"""Lowest face probabilities of P-Net, R-Net and O-Net, as published."""
MAX_WINDOWS = 2000
"""Windows of a level of the pyramid, and of an image, that are passed to NMS at most, the best ones."""
MAX_MINED = 200
"""The same number where errors are mined for training: a network without much training accepts most windows."""

# Ratio of the sides of two levels, as published: half of the area.
_PYRAMID_FACTOR = 0.709
# IoU above which windows are dropped, within a level and after that, as published.
_LEVEL_IOU, _IOU = 0.5, 0.7
# Windows of a forward pass, which bounds its memory.
_WINDOWS_PER_PASS = 4096


class Candidates(NamedTuple):
    """Windows of B images after a network has moved them.

    Attributes:
        boxes: (B, k, 4; x1 y1 x2 y2) in pixels of the image.
        scores: (B, k) face probabilities.
        is_valid: (B, k) bool; False for padding.
        landmarks: (B, k, 5, 2) in pixels of the image.
    """

    boxes: Tensor
    scores: Tensor
    is_valid: Tensor
    landmarks: Tensor


class _Windows(NamedTuple):
    """Windows (B, k, 4) with the outputs of a network: `offsets` (B, k, 4) and `points` (B, k, 10)."""

    boxes: Tensor
    scores: Tensor
    is_valid: Tensor
    offsets: Tensor
    points: Tensor

    def move(self) -> Candidates:
        """Move the windows by their offsets, and place their points."""
        boxes, landmarks = decode_offsets(self.offsets, self.boxes), decode_points(self.points, self.boxes)
        return Candidates(boxes, self.scores, self.is_valid, landmarks)


Rows = TypeVar("Rows", Candidates, _Windows)


@torch.no_grad()
def run_cascade(
    networks: Sequence[nn.Module],
    images: Tensor,
    scores: Sequence[float] = SCORES,
    min_face: float = MIN_FACE,
    limit: int = MAX_WINDOWS,
) -> Candidates:
    """Run the first networks of a cascade on images of one size.

    Args:
        networks: P-Net, then optionally R-Net and O-Net.
        images: (B, 3, H, W) uint8, RGB.
        scores: lowest face probability of each network.
        min_face: smallest face to look for, in pixels.
        limit: windows of a level of the pyramid, and of an image, that are passed to NMS at most.
    """
    proposed = _propose(networks[0], images, scores[0], min_face, limit)
    candidates = _suppress(proposed, _IOU, _inner_iou, limit).move()
    if len(networks) == 1:
        return candidates
    integrals = integral_images(images)
    refined = _refine(networks[1], WINDOW_SIZES[1], integrals, candidates, scores[1])
    candidates = _suppress(refined, _IOU, _inner_iou, limit).move()
    if len(networks) == 2:
        return candidates
    candidates = _refine(networks[2], WINDOW_SIZES[2], integrals, candidates, scores[2]).move()
    # A box inside a larger one is the same face, as in the published code.
    return _suppress(candidates, _IOU, pairwise_overlap, limit)


def propose_squares(networks: Sequence[nn.Module], images: Tensor) -> Tensor:
    """Run the first networks of a cascade for mining.

    Args:
        networks: P-Net, or P-Net and R-Net.
        images: (B, 3, H, W) uint8, RGB.

    Returns:
        (B, k, 4): the squares that the next network gets, empty in the padding.
    """
    candidates = run_cascade(networks, images, limit=MAX_MINED)
    return square_windows(candidates.boxes).where(candidates.is_valid[..., None], 0)


def _propose(network: nn.Module, images: Tensor, score: float, min_face: float, limit: int) -> _Windows:
    """Slide P-Net over every level of the pyramid; NMS within each level."""
    batch, _, height, width = images.shape
    levels = [_no_windows(batch, images.device)]
    scale = WINDOW_SIZES[0] / min_face
    while min(height, width) * scale >= WINDOW_SIZES[0]:
        # Area averaging to whole pixels, rounded up past the exact size as in the published code.
        resized = functional.adaptive_avg_pool2d(images.float(), (int(height * scale + 1), int(width * scale + 1)))
        levels.append(_suppress(_cell_windows(network(resized), scale, score), _LEVEL_IOU, _inner_iou, limit))
        scale *= _PYRAMID_FACTOR
    return _Windows(*(torch.cat(columns, 1) for columns in zip(*levels, strict=True)))


def _cell_windows(output: WindowOutput, scale: float, score: float) -> _Windows:
    """Return the window of every cell of P-Net's output for a level of `scale`, at whole pixels of the image."""
    scores = output.logits.softmax(1)[:, 1].flatten(1)
    columns = torch.arange(output.logits.shape[3], device=scores.device) * CELL_STRIDE
    rows = torch.arange(output.logits.shape[2], device=scores.device) * CELL_STRIDE
    starts = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], -1).flatten(0, 1)
    # The published code counts pixels from 1, and takes the distance of the last from the first for the side.
    first, last = ((starts + 1) / scale).floor(), ((starts + WINDOW_SIZES[0]) / scale).floor()
    boxes = torch.cat([first - 1, last], 1).expand(len(scores), -1, -1)
    offsets, points = (each.flatten(2).mT for each in output[1:])
    offsets = offsets * ((last - first) / (last - first + 1)).repeat(1, 2)
    return _Windows(boxes, scores, scores >= score, offsets, points)


def _refine(network: nn.Module, size: int, integrals: Tensor, candidates: Candidates, score: float) -> _Windows:
    """Classify the squares around candidates with R-Net or O-Net."""
    squares = square_windows(candidates.boxes)
    images, rows = candidates.is_valid.nonzero(as_tuple=True)
    windows = squares[images, rows]
    outputs = [torch.cat([each.flatten(1) for each in network(squares.new_zeros(0, 3, size, size))], 1)]
    for image, own in zip(images.split(_WINDOWS_PER_PASS), windows.split(_WINDOWS_PER_PASS), strict=True):
        outputs.append(torch.cat([each.flatten(1) for each in network(sample_windows(integrals, image, own, size))], 1))
    padded = squares.new_zeros(*squares.shape[:2], 16)
    padded[images, rows] = torch.cat(outputs)
    logits, offsets, points = padded.split([2, 4, 10], -1)
    scores = logits.softmax(-1)[..., 1]
    return _Windows(squares, scores, candidates.is_valid & (scores > score), offsets, points)


def _suppress(windows: Rows, threshold: float, overlap: Callable[[Tensor, Tensor], Tensor], limit: int) -> Rows:
    """Keep the best valid windows of each image, up to `limit`, and apply NMS; the result is sorted."""
    count = min(limit, int(windows.is_valid.sum(1).max()))
    order = windows.scores.masked_fill(~windows.is_valid, -1).argsort(dim=1, descending=True, stable=True)[:, :count]
    ordered = _gather(windows, order)
    keep, counts = nms_batch(ordered.boxes, ordered.is_valid, threshold, overlap)
    # A stable sort moves the kept windows to the front, in the order of their scores.
    return _gather(ordered._replace(is_valid=keep), (~keep).int().argsort(dim=1, stable=True)[:, : max(counts)])


def _inner_iou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the IoU of boxes without their first column and row of pixels, as the published code does."""
    return pairwise_iou(*(torch.cat([boxes[..., :2] + 1, boxes[..., 2:]], -1) for boxes in (a, b)))


def _no_windows(images: int, device: torch.device) -> _Windows:
    boxes = torch.zeros(images, 0, 4, device=device)
    scores = boxes[..., 0]
    return _Windows(boxes, scores, scores.bool(), boxes, torch.zeros(images, 0, 10, device=device))


def _gather(windows: Rows, order: Tensor) -> Rows:
    """Select the windows (B, m) of each image."""
    images = torch.arange(len(order), device=order.device)[:, None]
    return type(windows)(*(column[images, order] for column in windows))
