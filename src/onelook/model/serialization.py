"""Save a network to a model folder, and load it."""

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from onelook.errors import ModelError, is_out_of_memory
from onelook.files import atomic_folder, sha256, write_json
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import FORMAT, SETTINGS, WEIGHTS, read_description
from onelook.model.renamed_parameters import rename_parameters
from onelook.settings import ModelSettings


def save_model(folder: Path, network: JointNetwork) -> None:
    """Write a model folder atomically: an existing one stays until the new one is complete.

    The same network gives the same bytes.

    Raises:
        OnelookError: the disk is full or the folder cannot be written.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_folder(folder, private=False) as temporary:
        (temporary / WEIGHTS).write_bytes(save(state))
        description = {
            "format": FORMAT,
            "model": network.settings.model_dump(mode="json"),
            "weights_sha256": sha256(temporary / WEIGHTS),
        }
        write_json(temporary / SETTINGS, description, private=False)


def load_model(folder: Path) -> JointNetwork:
    """Load the network of a model folder, in evaluation mode.

    Raises:
        ModelError: a file is missing or damaged, or the two do not belong together.
    """
    description = read_description(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelError(f"{weights}: missing; train again with `dvc repro`, or restore the folder")
    if sha256(weights) != description["weights_sha256"]:
        raise ModelError(f"{weights}: damaged (its checksum is not the one in {SETTINGS}); train again or restore it")
    try:
        network = JointNetwork(ModelSettings.model_validate(description["model"]))
        state = load_file(weights)
        network.load_state_dict(state if description["format"] == FORMAT else rename_parameters(state))
    except (ValidationError, SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise ModelError(f"{folder}: too little memory to load it; close other programs") from error
        raise ModelError(f"{folder}: its weights and settings do not fit together; train again") from error
    return network.eval()
