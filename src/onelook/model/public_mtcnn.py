"""Published MTCNN weights, from the files of the facenet-pytorch wheel."""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from onelook.errors import ModelError
from onelook.model.mtcnn import Mtcnn, WindowNetwork
from onelook.model.pretrained import read_state_dict

FILES = ("pnet.pt", "rnet.pt", "onet.pt")
"""State dicts of P-Net, R-Net and O-Net in the folder `facenet_pytorch/data` of the wheel."""


def load_public_mtcnn() -> Mtcnn:
    """Load the weights in the installed facenet-pytorch wheel, in evaluation mode.

    The points of P-Net and R-Net, which they lack, stay zero. No code of the wheel is executed.

    Raises:
        ModelError: the wheel is not installed, or a file is damaged or of another network.
    """
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise ModelError("the facenet-pytorch wheel is not installed; pip install --no-deps facenet-pytorch==2.6.0")
    folder = Path(spec.origin).parent / "data"
    mtcnn = Mtcnn().eval()
    for network, file in zip(mtcnn.networks, FILES, strict=True):
        values = list(read_state_dict(folder / file).values())
        parameters = list(network.parameters())
        try:
            with torch.no_grad():
                for parameter, value in zip(parameters[: len(values)], values, strict=True):
                    parameter.copy_(_to_convolution(value, parameter))
                for parameter in parameters[len(values) :]:
                    nn.init.zeros_(parameter)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{folder / file}: not a network of MTCNN ({' '.join(str(error).split())})") from error
        if len(values) == len(parameters):
            assert isinstance(network, WindowNetwork)
            _interleave_points(network.landmarks)
    return mtcnn


def _to_convolution(value: Tensor, parameter: Tensor) -> Tensor:
    """Reshape the weight of a fully connected layer, whose inputs are ordered by column, row and channel."""
    if value.ndim == 2:
        channels, rows, columns = parameter.shape[1:]
        return value.reshape(len(value), columns, rows, channels).permute(0, 3, 2, 1)
    return value


def _interleave_points(landmarks: nn.Conv2d) -> None:
    """Change the order of the outputs from all x before all y to x and y of each point."""
    order = torch.arange(10).view(2, 5).T.flatten()
    assert landmarks.bias is not None
    with torch.no_grad():
        landmarks.weight.copy_(landmarks.weight[order])
        landmarks.bias.copy_(landmarks.bias[order])
