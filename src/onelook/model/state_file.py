"""A public PyTorch state dict, read from a file of the user's."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from onelook.errors import ModelError


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by their names; nothing in the file is executed.

    Raises:
        ModelError: the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; set model.checkpoint to one, or model.start to another start")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    except (RuntimeError, LookupError, TypeError, AttributeError, EOFError, ValueError, OSError, UnpicklingError) as e:
        raise ModelError(f"{path}: not a PyTorch state dict ({short(e)})") from e
    return tensors


def short(error: Exception) -> str:
    """What an error says, as part of one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
