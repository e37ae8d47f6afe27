"""Baselines by name, and the folder that a trained one is saved in.

- `model.safetensors`: all parameters and buffers.
- `baseline.json`: the name, the length of an embedding, and the SHA-256 of the weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from onelook.errors import ModelError
from onelook.files import atomic_folder, sha256, write_json
from onelook.model.cfan import build_cfan
from onelook.model.coarse_to_fine import build_coarse_to_fine
from onelook.model.face_pose_net import FacePoseNet
from onelook.model.mobilefacenet import SeparateRecognizer
from onelook.model.model_folder import WEIGHTS
from onelook.model.mtcnn import Mtcnn
from onelook.model.sun2013 import build_sun2013
from onelook.settings import BaselineName
from onelook.untrusted import one_line, parse_json_object, read_limited

DESCRIPTION = "baseline.json"
_MAX_DIM = 1024  # as that of model.embedding.dim
BASELINES: dict[BaselineName, Callable[[int], nn.Module]] = {
    "mtcnn": lambda dim: Mtcnn(),
    "mobilefacenet": lambda dim: SeparateRecognizer(dim),
    "mobilefacenet_average": lambda dim: SeparateRecognizer(dim, "average"),
    "landmarks_sun2013": lambda dim: build_sun2013(),
    "landmarks_coarse_to_fine": lambda dim: build_coarse_to_fine(),
    "landmarks_cfan": lambda dim: build_cfan(),
    "landmarks_face_pose_net": lambda dim: FacePoseNet(),
}
"""Name: function of the length of an embedding that builds the untrained network."""


def save_baseline(folder: Path, name: BaselineName, dim: int, network: nn.Module) -> None:
    """Write the folder of a trained baseline atomically; the same network gives the same bytes.

    Raises:
        OnelookError: the disk is full or the folder cannot be written.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with atomic_folder(folder) as temporary:
        (temporary / WEIGHTS).write_bytes(save(state))
        digest = sha256(temporary / WEIGHTS)
        write_json(temporary / DESCRIPTION, {"baseline": name, "embedding_dim": dim, "weights_sha256": digest})


def load_baseline(folder: Path) -> nn.Module:
    """Load the network of a folder, in evaluation mode.

    Raises:
        ModelError: a file is missing or damaged, or the two do not belong together.
    """
    try:
        description = parse_json_object(read_limited(folder / DESCRIPTION))
        if sha256(folder / WEIGHTS) != description["weights_sha256"]:
            raise ValueError("the checksum of its weights is another")
        dim = description["embedding_dim"]
        if not isinstance(dim, int) or not 0 < dim <= _MAX_DIM:
            raise ValueError(f"embedding_dim is not a number from 1 to {_MAX_DIM}")
        network = BASELINES[description["baseline"]](dim)
        network.load_state_dict(load_file(folder / WEIGHTS))
    except OSError as error:
        raise ModelError(f"{error.filename}: missing; run `dvc repro -f baselines`") from error
    except (ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: damaged ({one_line(error)}); run `dvc repro -f baselines`") from error
    return network.eval()


def find_baselines(folder: Path) -> dict[BaselineName, Path]:
    """Return the folders of the trained baselines in a folder, by name in the order of the registry."""
    return {name: folder / name for name in get_args(BaselineName) if (folder / name / DESCRIPTION).is_file()}
