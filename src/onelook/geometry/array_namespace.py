"""Array-library dispatch for geometry that accepts NumPy arrays and torch tensors."""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


def array_namespace(values: Any) -> Any:
    """Return the module (numpy or torch) whose functions apply to `values`.

    torch is imported only for tensors: inference by onnxruntime runs where torch is not installed.
    """
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch
