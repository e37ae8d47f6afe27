"""Precision of embeddings and losses: float32 at least."""

import torch
from torch import Tensor


def to_float32(tensor: Tensor) -> Tensor:
    """Convert a 16-bit tensor to float32; float32 and float64 stay as they are."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
