"""Settings of small networks, and landmarks of faces."""

from typing import Any

import torch

from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS
from onelook.settings import EmbeddingSettings, ModelSettings


def tiny_embedding(width: int, **changes: Any) -> EmbeddingSettings:
    """Return an embedding head of `width` channels throughout, with embeddings of that length."""
    tiny: dict[str, Any] = {
        "dim": width,
        "channels": width,
        "grid_size": 14,
        "widths": (width, width),
        "depths": (0, 0),
    }
    tiny |= {"strides": (2, 4, 8, 16), "gdc_channels": width}
    return EmbeddingSettings.model_validate(tiny | changes)


def light_model(embedding: EmbeddingSettings, **changes: Any) -> ModelSettings:
    """Return RetinaFace's light form with random weights."""
    grid = {"scales": (5,), "image_size": 160, "channels": 8}
    light = {"grid": grid, "init": "random", "checkpoint": "", "embedding": embedding}
    return ModelSettings.model_validate(light | changes)


def upright_faces(*faces: tuple[float, float, float]) -> torch.Tensor:
    """Return the landmarks (n, 5, 2) of upright faces, each given by x and y of its corner and its side in pixels."""
    template = torch.from_numpy(REFERENCE_LANDMARKS) / CROP_SIZE
    return torch.stack([template * side + torch.tensor([x, y]) for x, y, side in faces])
