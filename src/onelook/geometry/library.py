"""The library that an array belongs to, for what both can do."""

from typing import Any

import numpy as np


def library_of(values: Any) -> Any:
    """NumPy, or torch for a tensor; torch is not imported for arrays, which machines without it have too."""
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch
