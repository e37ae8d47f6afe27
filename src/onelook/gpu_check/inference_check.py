"""Check of inference: the faces that a device finds are those that the CPU finds."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onelook.device import to_device
from onelook.gpu_check.report import CheckFailedError
from onelook.gpu_check.scenes import cut_scenes, find_faces
from onelook.model.model_folder import RELEASED
from onelook.model.serialization import load_model

NUM_IMAGES = 20
SIDE = 640
MAX_BOX_DIFFERENCE = 0.05
"""Largest difference of a box or landmark, in pixels."""
MAX_EMBEDDING_DIFFERENCE = 1e-4


def check_inference(picture: Path, device: torch.device, count: int = NUM_IMAGES) -> dict[str, Any]:
    """Compare the faces of `count` images by the released weights on the CPU and on the device, in float32.

    Raises:
        CheckFailedError: another number of faces, or a larger difference than allowed.
    """
    on_cpu = load_model(RELEASED).eval()
    on_device = copy.deepcopy(on_cpu).to(device)
    images = np.stack([image for image, _ in cut_scenes(picture, SIDE, count, seed=1)])
    with without_tf32():
        (expected, expected_embeddings), (found, embeddings) = (
            find_faces(network, images) for network in (on_cpu, on_device)
        )
    found, embeddings = to_device((found, embeddings), torch.device("cpu"))
    if found.counts != expected.counts:
        raise CheckFailedError(
            f"inference: {sum(found.counts)} faces on {device}, {sum(expected.counts)} on the CPU; "
            "update the driver and torch, and report it if that does not help"
        )
    boxes = max(_difference(found.boxes, expected.boxes), _difference(found.landmarks, expected.landmarks))
    embedding = _difference(embeddings, expected_embeddings)
    if boxes >= MAX_BOX_DIFFERENCE or embedding >= MAX_EMBEDDING_DIFFERENCE:
        raise CheckFailedError(
            f"inference: boxes differ by {boxes:.3g} px (below {MAX_BOX_DIFFERENCE}), embeddings by {embedding:.2g} "
            f"(below {MAX_EMBEDDING_DIFFERENCE}) between {device} and the CPU; update the driver and torch"
        )
    return {"faces": sum(found.counts), "box_difference_px": boxes, "embedding_difference": embedding}


@contextmanager
def without_tf32() -> Iterator[None]:
    """Multiply and convolve in full float32 within the context."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max()) if a.numel() else 0.0
