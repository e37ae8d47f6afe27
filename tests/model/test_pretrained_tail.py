"""Initialization of the embedding head's tail from the last layers of a recognizer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from helpers.networks import tiny_embedding
from helpers.recognizer import (
    Weights,
    normalize_crops,
    random_crops,
    random_weights,
    run_recognizer,
    write_recognizer,
)
from onelook.errors import ModelError
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.pretrained import init_tail
from onelook.settings import TeacherSettings

EMBEDDING = tiny_embedding(8, channels=16, grid_size=28, widths=(24, 24), depths=(1, 0), gdc_channels=40)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return random_weights()


@pytest.fixture(scope="module")
def teacher(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> TeacherSettings:
    return write_recognizer(tmp_path_factory.mktemp("teacher") / "recognizer.onnx", weights)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return random_crops()


def make_head(**changes: object) -> EmbeddingHead:
    torch.manual_seed(0)
    return EmbeddingHead({2: 4, 4: 8, 8: 8, 16: 8}, EMBEDDING.model_copy(update=changes)).eval()


def run_tail(head: EmbeddingHead, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return head.projection(head.gdc(head.expand(head.tail(x))))


def test_tail_of_the_same_shape_equals_the_recognizer(
    teacher: TeacherSettings, weights: Weights, crops: np.ndarray
) -> None:
    """On the map that the recognizer's own blocks read, the tail computes the recognizer's embedding."""
    head = make_head()
    init_tail(head, teacher, crops)
    weight, bias = (torch.from_numpy(each) for each in weights[0])
    first = functional.conv2d(normalize_crops(crops), weight, bias, 4, 1).clip(0, 6)
    embeddings = run_tail(head, first)
    torch.testing.assert_close(embeddings, run_recognizer(weights, first, 1), rtol=1e-3, atol=1e-3)
    # In training mode batch norms use the statistics of the batch, which are those measured on the same crops.
    in_training = run_tail(head.train(), first)
    assert functional.cosine_similarity(in_training.flatten(1), embeddings.flatten(1)).min() > 0.98


def test_narrower_block_has_channels_of_the_recognizer(teacher: TeacherSettings, crops: np.ndarray) -> None:
    """A block with 20 inner channels has 20 of the recognizer's 48."""
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(teacher.path).graph.initializer}
    head = make_head()
    body = head.tail[2].body
    body[0].conv = nn.Conv2d(24, 20, 1, bias=False)
    body[0].norm = nn.BatchNorm2d(20)
    body[2].conv = nn.Conv2d(20, 20, 3, 2, 1, groups=20, bias=False)
    body[2].norm = nn.BatchNorm2d(20)
    body[4].conv = nn.Conv2d(20, 24, 1, bias=False)
    head.tail[2].inner_channels = 20
    init_tail(head, teacher, crops)
    teacher_rows = {row.tobytes() for row in tensors["w7"]}
    rows = {row.tobytes() for row in body[0].conv.weight.detach().numpy()}
    assert len(rows) == 20 and rows <= teacher_rows


def test_more_residual_blocks_start_as_identities(teacher: TeacherSettings, crops: np.ndarray) -> None:
    head, deeper = make_head(), make_head(depths=(3, 1))
    for each in (head, deeper):
        init_tail(each, teacher, crops)
    x = torch.randn(2, 16, 28, 28)
    torch.testing.assert_close(run_tail(deeper, x), run_tail(head, x))
    # They learn: the gradient of their last batch norm is not 0.
    deeper.tail(x).square().sum().backward()
    assert deeper.tail[2].body[4].norm.weight.grad.abs().max() > 0


def test_projection_to_another_length_stays_random(teacher: TeacherSettings, crops: np.ndarray) -> None:
    head, untouched = make_head(dim=16), make_head(dim=16)
    init_tail(head, teacher, crops)
    assert head.projection[0].weight.equal(untouched.projection[0].weight)
    assert not head.gdc[0].weight.equal(untouched.gdc[0].weight)


@pytest.mark.parametrize("changes", [{"widths": (16, 24)}, {"gdc_channels": 32}])
def test_tail_of_another_shape_is_refused_in_one_line(
    teacher: TeacherSettings, crops: np.ndarray, changes: dict
) -> None:
    with pytest.raises(ModelError, match=r"do not fit model\.embedding") as caught:
        init_tail(make_head(**changes), teacher, crops)
    assert "\n" not in str(caught.value)


def test_a_tflite_recognizer_is_refused_with_the_setting_to_change(crops: np.ndarray) -> None:
    with pytest.raises(ModelError, match=r"set teacher\.init_tail: false"):
        init_tail(make_head(), TeacherSettings(path="recognizer.tflite"), crops)


@pytest.mark.parametrize("change", ["no weights", "no bias", "another shape"])
def test_a_damaged_network_is_refused_in_one_line(
    teacher: TeacherSettings, crops: np.ndarray, change: str, tmp_path: Path
) -> None:
    model = onnx.load(teacher.path)
    if change == "no weights":
        del model.graph.initializer[:]
    elif change == "no bias":
        next(node for node in model.graph.node if node.op_type == "Conv").input[2] = ""
    else:
        model.graph.initializer[0].dims[0] = 0
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(ModelError, match=r"damaged\.onnx") as caught:
        init_tail(make_head(), teacher.model_copy(update={"path": str(tmp_path / "damaged.onnx")}), crops)
    assert "\n" not in str(caught.value)
