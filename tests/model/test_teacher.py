"""A recognizer out of an ONNX file, against torch, and the tail that starts from its last blocks."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from helpers.networks import tiny_embedding
from onelook.errors import ModelError
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.pretrained import init_tail_from_teacher
from onelook.model.teacher import Teacher
from onelook.settings import TeacherSettings

MEAN, DEVIATION = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
# weight shape, stride, padding, groups, whether a ReLU6 follows, whether the block's input is added
LAYERS = [
    ((16, 3, 3, 3), 4, 1, 1, True, False),
    *[((32, 16, 1, 1), 1, 0, 1, True, False), ((32, 1, 3, 3), 2, 1, 32, True, False)],
    ((24, 32, 1, 1), 1, 0, 1, False, False),
    *[((48, 24, 1, 1), 1, 0, 1, True, False), ((48, 1, 3, 3), 1, 1, 48, True, False)],
    ((24, 48, 1, 1), 1, 0, 1, False, True),
    *[((48, 24, 1, 1), 1, 0, 1, True, False), ((48, 1, 3, 3), 2, 1, 48, True, False)],
    ((24, 48, 1, 1), 1, 0, 1, False, False),
    ((40, 24, 1, 1), 1, 0, 1, True, False),
    ((40, 1, 7, 7), 1, 0, 40, False, False),
    ((8, 40, 1, 1), 1, 0, 1, False, False),
]
EMBEDDING = tiny_embedding(8, channels=16, grid=28, widths=(24, 24), depths=(1, 0), gather=40)


def run(weights: list[tuple[np.ndarray, np.ndarray]], x: torch.Tensor, first: int) -> torch.Tensor:
    """The layers from `first` on, in torch."""
    start = x
    for (weight, bias), (_, stride, padding, groups, clipped, added) in zip(
        weights[first:], LAYERS[first:], strict=True
    ):
        if weight.shape[2] == 1 and clipped:
            start = x
        x = functional.conv2d(x, torch.from_numpy(weight), torch.from_numpy(bias), stride, padding, groups=groups)
        x = x.clip(0, 6) if clipped else x
        x = x + start if added else x
    return x


@pytest.fixture
def weights() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    made = []
    for shape, *_ in LAYERS:
        weight = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        made.append((weight, rng.normal(0, 0.2, shape[0]).astype(np.float32)))
    return made


@pytest.fixture
def teacher(weights: list[tuple[np.ndarray, np.ndarray]], tmp_path: Path) -> TeacherSettings:
    nodes, values, now, start = [], [], "input", "input"
    for i, ((weight, bias), (shape, stride, padding, groups, clipped, added)) in enumerate(
        zip(weights, LAYERS, strict=True)
    ):
        values += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        if shape[2] == 1 and clipped:
            start = now
        pads, size = [padding] * 4, [shape[2], shape[3]]
        nodes.append(
            helper.make_node(
                "Conv",
                [now, f"w{i}", f"b{i}"],
                [f"c{i}"],
                strides=[stride] * 2,
                pads=pads,
                group=groups,
                kernel_shape=size,
            )
        )
        now = f"c{i}"
        if clipped:
            nodes.append(helper.make_node("Clip", [now, "low", "high"], [f"a{i}"]))
            now = f"a{i}"
        if added:
            nodes.append(helper.make_node("Add", [now, start], [f"s{i}"]))
            now = f"s{i}"
    values += [numpy_helper.from_array(np.float32(v), n) for v, n in ((0, "low"), (6, "high"))]
    graph = helper.make_graph(
        nodes,
        "recognizer",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info(now, TensorProto.FLOAT, [1, 8, 1, 1])],
        values,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "recognizer.onnx")
    return TeacherSettings(path=str(tmp_path / "recognizer.onnx"), mean=MEAN, deviation=DEVIATION, start_tail=True)


@pytest.fixture
def crops() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (12, 112, 112, 3), dtype=np.uint8)


def normal(crops: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(((crops - np.array(MEAN)) / np.array(DEVIATION)).astype(np.float32).transpose(0, 3, 1, 2))


def test_embeddings_are_those_of_crop_and_mirror_image(
    teacher: TeacherSettings, weights: list[tuple[np.ndarray, np.ndarray]], crops: np.ndarray
) -> None:
    recognizer = Teacher(teacher)
    assert recognizer.size == 8
    both = [functional.normalize(run(weights, normal(view), 0).flatten(1)) for view in (crops, crops[:, :, ::-1])]
    wanted = functional.normalize(both[0] + both[1])
    np.testing.assert_allclose(recognizer.embed(crops), wanted.numpy(), atol=1e-4)


def head(**changes: object) -> EmbeddingHead:
    torch.manual_seed(0)
    return EmbeddingHead({2: 4, 4: 8, 8: 8, 16: 8}, EMBEDDING.model_copy(update=changes)).eval()


def test_a_tail_of_the_same_shape_does_what_the_recognizer_did(
    teacher: TeacherSettings, weights: list[tuple[np.ndarray, np.ndarray]], crops: np.ndarray
) -> None:
    """Fed the map its blocks were fed in the recognizer, the tail gives the recognizer's own embedding."""
    ours = head()
    init_tail_from_teacher(ours, teacher, crops)
    first = functional.conv2d(
        normal(crops), torch.from_numpy(weights[0][0]), torch.from_numpy(weights[0][1]), 4, 1
    ).clip(0, 6)
    with torch.no_grad():
        given = ours.out(ours.gather(ours.widen(ours.tail(first))))
    torch.testing.assert_close(given, run(weights, first, 1), rtol=1e-3, atol=1e-3)
    # In training batch norms use the batch's statistics, which on the measured faces are those put into them.
    with torch.no_grad():
        trained = ours.train().out(ours.gather(ours.widen(ours.tail(first))))
    cosines = functional.cosine_similarity(trained.flatten(1), given.flatten(1))
    assert cosines.min() > 0.98


def test_a_narrower_tail_keeps_the_channels_that_carry_most(teacher: TeacherSettings, crops: np.ndarray) -> None:
    """Ours expands 12 channels to 24 where the recognizer has 48 of them; the 24 are rows of its own weights."""
    theirs = {t.name: numpy_helper.to_array(t) for t in onnx.load(teacher.path).graph.initializer}
    ours = EmbeddingHead({2: 4, 4: 8, 8: 8, 16: 8}, EMBEDDING)
    narrow = ours.tail[2].body
    narrow[0].conv = torch.nn.Conv2d(24, 20, 1, bias=False)
    narrow[0].norm = torch.nn.BatchNorm2d(20)
    narrow[2].conv = torch.nn.Conv2d(20, 20, 3, 2, 1, groups=20, bias=False)
    narrow[2].norm = torch.nn.BatchNorm2d(20)
    narrow[4].conv = torch.nn.Conv2d(20, 24, 1, bias=False)
    ours.tail[2].inner = 20
    init_tail_from_teacher(ours, teacher, crops)
    rows = {row.tobytes() for row in theirs["w7"]}
    assert all(row.tobytes() in rows for row in narrow[0].conv.weight.detach().numpy())
    assert len({row.tobytes() for row in narrow[0].conv.weight.detach().numpy()}) == 20


@pytest.mark.parametrize("changes", [{"widths": (16, 24)}, {"gdc_channels": 32}, {"size": 16}, {"depths": (3, 0)}])
def test_a_tail_of_another_shape_is_told(teacher: TeacherSettings, crops: np.ndarray, changes: dict) -> None:
    with pytest.raises(ModelError, match=r"do not fit model\.embedding") as caught:
        init_tail_from_teacher(head(**changes), teacher, crops)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"not onnx at all"])
def test_a_missing_or_damaged_file_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "teacher.onnx"
    if content is not None:
        path.write_bytes(content)
    settings = TeacherSettings(path=str(path), mean=MEAN, deviation=DEVIATION, start_tail=True)
    with pytest.raises(ModelError, match=r"teacher\.onnx") as caught:
        Teacher(settings)
    assert "\n" not in str(caught.value)
