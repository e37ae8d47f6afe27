"""The two steps of a look that recorded torch operations cannot carry, each as one node of ONNX's own.

Both depend on the photo: how many candidates there are, and how many are left.
"""

from typing import Any

import torch
from torch import Tensor


class Candidates(torch.autograd.Function):
    """The highest scores of each image and where they are: ONNX's `TopK`; of equal scores the first counts."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, n) and how many are wanted, (1,) int64 -> the scores, highest first, and rows, (B, k) each."""
        best = scores.sort(dim=1, descending=True, stable=True)
        return best.values[:, : int(most)], best.indices[:, : int(most)]

    @staticmethod
    def symbolic(g: Any, scores: Any, most: Any) -> Any:
        """The node."""
        return g.op("TopK", scores, most, axis_i=1, outputs=2)


class Suppression(torch.autograd.Function):
    """The best box of each face, of all images of a batch: ONNX's `NonMaxSuppression`.

    Boxes of no more than the lowest score are left out too, as `cv2.dnn.NMSBoxes` does it.
    """

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, most: Tensor, nms: Tensor, score: Tensor) -> Tensor:
        """What stands in while the graph is recorded: the first box of each image.

        Args:
            ctx: not used.
            boxes: (B, n, 4; x1 y1 x2 y2).
            scores: (B, 1, n).
            most: (1,) int64, boxes that an image may keep.
            nms: (1,) float32, the overlap (intersection over union) over which the worse of two boxes is left out.
            score: (1,) float32, the lowest score.

        Returns:
            (k, 3) int64, image, 0 and box, image by image, best score first.
        """
        rows = torch.arange(len(boxes))
        return torch.stack([rows, torch.zeros_like(rows), torch.zeros_like(rows)], dim=1)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, most: Any, nms: Any, score: Any) -> Any:
        """The node."""
        return g.op("NonMaxSuppression", boxes, scores, most, nms, score)
