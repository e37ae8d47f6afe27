"""A checkpoint: all that training needs to go on as if it had never stopped."""

import hashlib
import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from onelook.errors import ModelError
from onelook.files import replacing

FILE = "checkpoint.pt"


def training_key(*parts: Any) -> str:
    """What a checkpoint belongs to: a digest of the settings and of the data, given as JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def save_checkpoint(folder: Path, key: str, state: dict[str, Any]) -> None:
    """Write the checkpoint in one step; the last one stays until the new one is whole."""
    with replacing(folder / FILE) as temporary:
        torch.save({"key": key, "state": state}, temporary)


def load_checkpoint(folder: Path, key: str) -> dict[str, Any] | None:
    """The state to go on from, or None where there is none of this training.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content["state"] if content["key"] == key else None
    except (RuntimeError, LookupError, TypeError, AttributeError, EOFError, ValueError, UnpicklingError) as error:
        raise ModelError(f"{path}: damaged; delete it to train from the start") from error
