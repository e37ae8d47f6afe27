"""A model folder: the weights and the settings that rebuild the network around them. Nothing here needs torch.

`model.safetensors` holds every parameter and statistic, the preprocessing among them; `model.json` the settings and the
weights' checksum. The model's fingerprint is the SHA-256 of both.
"""

import hashlib
import json
from pathlib import Path

from onelook.errors import ModelError
from onelook.files import sha256
from onelook.settings.renamed_keys import translate

WEIGHTS = "model.safetensors"
SETTINGS = "model.json"
FORMAT = 3
# Folders of this format are read too, under today's names.
_FIRST_FORMAT = 2
# The model folder inside the package.
RELEASED = Path(__file__).resolve().parent.parent / "released"


def onnx_path(folder: Path) -> Path:
    """Where galleries look for a model folder exported.

    Beside it, as DVC keeps what the folder holds.
    """
    whole = folder.resolve()
    return whole.with_name(f"{whole.name}.onnx")


def has_mesh_head(folder: Path) -> bool:
    """Whether the network of a model folder has a mesh head.

    Raises:
        ModelError: its settings are missing or damaged.
    """
    return bool(read_description(folder)["model"].get("mesh"))


def fingerprint(folder: Path) -> str:
    """Hex SHA-256 over the model's weights and settings.

    Raises:
        ModelError: a file is missing.
    """
    try:
        digests = [sha256(folder / name) for name in (SETTINGS, WEIGHTS)]
    except OSError as error:
        raise ModelError(f"{error.filename}: missing; run `dvc repro`, or name another by --model") from error
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def read_description(folder: Path) -> dict:
    """What `model.json` says: the format, the settings and the weights' checksum.

    Raises:
        ModelError: it is missing or damaged, or another version wrote it.
    """
    path = folder / SETTINGS
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{folder}: not a model folder (no {SETTINGS}); run `dvc repro`, or name another") from error
    except ValueError as error:
        raise ModelError(f"{path}: damaged (not JSON); train again or restore it") from error
    if not isinstance(description, dict) or not {"model", "weights_sha256"} <= description.keys():
        raise ModelError(f"{path}: damaged (keys are missing); train again or restore it")
    if description.get("format") == _FIRST_FORMAT:
        description["model"] = translate(description["model"], "model")
    elif description.get("format") != FORMAT:
        raise ModelError(f"{path}: made by another version of onelook; train again")
    return description
