"""Starting from a trunk that was trained on ImageNet."""

from pathlib import Path

from torch import nn

from onelook.errors import ModelError
from onelook.model.state_file import read_state, short


def load_imagenet(trunk: nn.Module, path: Path) -> None:
    """Fill a ResNet from a PyTorch state dict with the public key names (`layer1.0.conv1.weight` ...).

    The classifier on top of it, `fc`, is left out.

    Raises:
        ModelError: the file is missing, damaged, or holds another network.
    """
    state = {name: value for name, value in read_state(path).items() if not name.startswith("fc.")}
    try:
        trunk.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path}: not the ImageNet weights of this model.backbone ({short(error)})") from error
