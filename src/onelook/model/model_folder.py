"""Model folder: names of its files, its description and its fingerprint; torch is not imported.

- `model.safetensors`: all parameters and buffers, the pixel normalization among them.
- `model.json`: the settings that rebuild the network, and the SHA-256 of the weights.
- `model.onnx`, only in the wheel: the exported graph of the released weights, for installations without torch.
"""

import hashlib
from pathlib import Path

from onelook.errors import ModelError
from onelook.files import sha256
from onelook.settings.renamed_keys import translate
from onelook.untrusted import read_json

WEIGHTS = "model.safetensors"
SETTINGS = "model.json"
ONNX = "model.onnx"
"""Exported graph inside a folder; the wheel has one in the folder of the released weights."""
FORMAT = 3
"""Version of the folder that `save_model` writes."""
RELEASED = Path(__file__).resolve().parent.parent / "released"
"""Model folder inside the package."""

# Version with the former names of settings and parameters, which is still read.
_RENAMED_FORMAT = 2


def onnx_path(folder: Path) -> Path:
    """Return the path of a model folder's exported file, beside the folder: DVC owns what is inside."""
    path = folder.resolve()
    return path.with_name(f"{path.name}.onnx")


def has_mesh_head(folder: Path) -> bool:
    """Return True if the network of a model folder has a mesh head.

    Raises:
        ModelError: its settings are missing or damaged.
    """
    return bool(read_description(folder)["model"].get("mesh"))


def fingerprint(folder: Path) -> str:
    """Compute the fingerprint of a model: the hex SHA-256 over its settings and weights.

    Raises:
        ModelError: a file is missing.
    """
    try:
        digests = [sha256(folder / name) for name in (SETTINGS, WEIGHTS)]
    except OSError as error:
        raise ModelError(f"{error.filename}: missing; run `dvc repro`, or name another by --model") from error
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def read_description(folder: Path) -> dict:
    """Read `model.json`: format, settings and checksum of the weights.

    Settings of format 2 are returned under today's names.

    Raises:
        ModelError: it is missing or damaged, or another version wrote it.
    """
    path = folder / SETTINGS
    try:
        description = read_json(path)
    except OSError as error:
        raise ModelError(f"{folder}: not a model folder (no {SETTINGS}); run `dvc repro`, or name another") from error
    except ValueError as error:
        raise ModelError(f"{path}: damaged (not JSON: {error}); train again or restore it") from error
    if not (
        isinstance(description, dict)
        and isinstance(description.get("model"), dict)
        and isinstance(description.get("weights_sha256"), str)
    ):
        raise ModelError(f"{path}: damaged (keys are missing); train again or restore it")
    if description.get("format") == _RENAMED_FORMAT:
        description["model"] = translate(description["model"], "model")
    elif description.get("format") != FORMAT:
        raise ModelError(f"{path}: made by another version of onelook; train again")
    return description
