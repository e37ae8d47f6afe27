"""Training checkpoints: the state from which an interrupted run continues to the same bits."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from onelook.errors import ModelError, is_out_of_memory
from onelook.files import atomic_file
from onelook.untrusted import ARCHIVE_START, DAMAGED_PICKLE, check_archive, one_line

CHECKPOINT = "checkpoint.pt"


def training_key(*parts: Any) -> str:
    """Compute the digest of settings and data, given as JSON values, that a checkpoint belongs to."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def save_checkpoint(folder: Path, key: str, state: dict[str, Any]) -> None:
    """Write the checkpoint atomically; until then the previous one stays."""
    with atomic_file(folder / CHECKPOINT) as temporary:
        try:
            torch.save({"key": key, "state": state}, temporary)
        except RuntimeError as error:  # of PyTorch's writer, where the file system fails
            raise OSError(one_line(error)) from error


def load_checkpoint(folder: Path, key: str) -> dict[str, Any] | None:
    """Read the state of the checkpoint with this key.

    Returns:
        None where there is no checkpoint, or one of another key.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream:
            # torch reads all else as its format before, whose strings reserve memory unchecked.
            if stream.read(len(ARCHIVE_START)) != ARCHIVE_START:
                raise ValueError("no archive")
            check_archive(stream)
            stream.seek(0)
            content = torch.load(stream, map_location="cpu", weights_only=True)
        return content["state"] if content["key"] == key else None
    except DAMAGED_PICKLE as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{path}: damaged; delete it to train from the start") from error
