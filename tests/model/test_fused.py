"""A network made ready to look answers as it did before."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from onelook.data.annotate import enlarge
from onelook.data.orl import read_orl
from onelook.geometry.alignment import TEMPLATE
from onelook.geometry.anchors import AnchorLevel
from onelook.model.folder import RELEASED
from onelook.model.folding import fold_batch_norms
from onelook.model.fused import make_ready
from onelook.model.fused_layers import Activation, FusedConvolution, FusedPointwise, JoinedContext, JoinedHeads, fused
from onelook.model.heads import DetectionHeads
from onelook.model.joint import JointNetwork
from onelook.model.look import load_looker
from onelook.model.pyramid import Context
from onelook.settings import Detect, load_settings

ROUNDS_IN_BFLOAT16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this processor"
)


@pytest.mark.parametrize(
    "activation", [("none",), ("leaky_relu", 0.1), ("leaky_relu", 0.0), ("hardtanh", 0.0, 6.0)], ids=str
)
def test_a_convolution_and_its_activation_in_one_call(activation: Activation) -> None:
    torch.manual_seed(0)
    apart: dict[str, nn.Module] = {
        "none": nn.Identity(),
        "leaky_relu": nn.LeakyReLU(activation[1] if len(activation) > 1 else 0),
        "hardtanh": nn.ReLU6(),
    }
    with torch.inference_mode():
        for convolution in (
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.Conv2d(8, 5, 1),
        ):
            both = fused(convolution, activation, torch.float32)
            for shape in ((1, 9, 7), (3, 32, 40)):
                x = 4 * torch.randn(shape[0], convolution.in_channels, *shape[1:])
                torch.testing.assert_close(both(x), apart[activation[0]](convolution(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3])
def test_what_a_convolution_gives_is_added(kernel: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 4, kernel, padding=kernel // 2)
    x, total = torch.randn(2, 6, 9, 7), torch.randn(2, 4, 9, 7)
    with torch.inference_mode():
        wanted = total + convolution(x)
        both = fused(convolution, ("none",), torch.float32)
        assert isinstance(both, FusedPointwise if kernel == 1 else FusedConvolution)
        torch.testing.assert_close(both.add_to(total.clone(), x), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 7)], ids=str)
def test_a_context_module_in_four_calls(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    context = Context(8).eval()
    for norm in (module for module in context.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.bias)
        nn.init.uniform_(norm.running_var, 0.2, 2)
    x = torch.randn(shape[0], 8, *shape[1:])
    with torch.inference_mode():
        wanted = context(x)
        fold_batch_norms(context)
        torch.testing.assert_close(JoinedContext(context, torch.float32)(x), wanted, rtol=1e-4, atol=1e-4)


def test_joined_heads_tell_of_each_anchor_what_the_heads_do() -> None:
    torch.manual_seed(0)
    levels = [AnchorLevel(8, (16, 32, 64)), AnchorLevel(16, (128,))]
    heads = DetectionHeads(5, levels)
    maps = [torch.randn(2, 5, 4, 3), torch.randn(2, 5, 2, 2)]
    with torch.inference_mode():
        for ours, theirs in zip(JoinedHeads(heads)(maps), heads(maps), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"backbone": "resnet18", "levels": "full", "cascade": True, "mesh": True},
        {"backbone": "resnet50", "context": "none"},
        {"context": "modulated"},
        {"form": "grid"},
    ],
    ids=str,
)
def test_in_float32_the_answers_stay_whatever_the_form(project: Path, form: dict) -> None:
    torch.manual_seed(0)
    settings = load_settings(project / "params.yaml").model
    network = JointNetwork(settings.model_copy(update={"start": "nothing", **form})).eval()
    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    faces = [torch.from_numpy(TEMPLATE * scale + 10)[None].float() for scale in (0.6, 0.2)]
    with torch.inference_mode():
        before = network(images)
        embeddings = network.embed(before.maps, faces)
        after = make_ready(network, "float32")(images.contiguous(memory_format=torch.channels_last))
        for one, other in zip(before.anchors, after.anchors, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
        torch.testing.assert_close(network.embed(after.maps, faces), embeddings, rtol=1e-3, atol=1e-4)


@ROUNDS_IN_BFLOAT16
def test_in_bfloat16_faces_and_who_they_are_stay() -> None:
    portraits = read_orl().portraits
    photo = np.concatenate([enlarge(portraits[i].read(), 2.0).image for i in (0, 55, 110)], axis=1)
    detect = Detect(score=0.5, nms=0.4, longest_side=1280)
    exact, rounded = (load_looker(RELEASED, how).look([photo], detect)[0] for how in ("float32", "bfloat16"))
    assert len(exact) == len(rounded) == 3
    order, same = (np.argsort(found.boxes[:, 0]) for found in (exact, rounded))
    sides = exact.boxes[order, 2] - exact.boxes[order, 0]
    assert (np.abs(exact.boxes[order] - rounded.boxes[same]).max(axis=1) < 0.05 * sides).all()
    assert ((exact.embeddings[order] * rounded.embeddings[same]).sum(axis=1) > 0.98).all()


@ROUNDS_IN_BFLOAT16
def test_maps_are_rounded_and_what_is_told_is_not() -> None:
    looker = load_looker(RELEASED, "bfloat16")
    with torch.inference_mode():
        shared = looker.network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert {each.dtype for each in shared.maps} == {torch.bfloat16}
    assert {each.dtype for each in (*shared.anchors, *shared.float_features())} == {torch.float32}
    assert all(a.shape[-1] == 2 * b.shape[-1] for a, b in pairwise(shared.maps))
