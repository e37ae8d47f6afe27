"""The published MTCNN in the facenet-pytorch wheel, run by its own code: the reference of ours."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

# Packages that the wheel imports and that detection does not use, but for NMS.
_UNUSED = ("torchvision.transforms.functional", "torchvision.ops.boxes", "requests.adapters")


def detect_published(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Detect in images (B, H, W, 3) with the published thresholds.

    Returns:
        Per image, best score first: boxes and scores (n, 5), half-open, and points (n, 5, 2).
    """
    for name in _UNUSED:
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), ModuleType(parts[depth - 1]))
    vars(sys.modules["torchvision.transforms"])["functional"] = None
    vars(sys.modules["torchvision.ops.boxes"])["batched_nms"] = _batched_nms
    vars(sys.modules["requests.adapters"])["HTTPAdapter"] = None
    module: Any = import_module("facenet_pytorch.models.mtcnn")
    networks = [getattr(module, name)().eval() for name in ("PNet", "RNet", "ONet")]
    with torch.no_grad():
        boxes, points = module.detect_face(images, 20, *networks, [0.6, 0.7, 0.7], 0.709, torch.device("cpu"))
    found = []
    for rows, own in zip(boxes, points, strict=True):
        rows, own = np.array(rows, np.float32).reshape(-1, 5), np.array(own, np.float32).reshape(-1, 5, 2)
        order = np.argsort(-rows[:, 4], kind="stable")
        found.append((rows[order] - [1, 1, 0, 0, 0], own[order]))  # its pixels are counted from 1
    return found


def _batched_nms(boxes: torch.Tensor, scores: torch.Tensor, images: torch.Tensor, iou: float) -> torch.Tensor:
    """Apply greedy NMS within each image, box by box, as torchvision does; kept indices, best score first."""
    kept: list[int] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for i in scores.argsort(descending=True, stable=True).tolist():
        others = torch.tensor([j for j in kept if images[j] == images[i]], dtype=torch.long)
        sides = torch.minimum(boxes[others, 2:], boxes[i, 2:]) - torch.maximum(boxes[others, :2], boxes[i, :2])
        inner = sides.clamp(min=0).prod(1)
        if not (inner / (areas[others] + areas[i] - inner) > iou).any():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)
