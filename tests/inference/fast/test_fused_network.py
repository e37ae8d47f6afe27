"""A network made ready to look answers as it did before."""

from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.geometry.alignment import TEMPLATE
from onelook.geometry.anchors import AnchorLevel
from onelook.inference.fast import onednn
from onelook.inference.fast.layers import FusedEnlarging, FusedShrinking, JoinedHeads
from onelook.inference.fast.network import optimize_for_inference
from onelook.inference.loading import load_torch_predictor
from onelook.model.embedding_head import AvgPool
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import DetectionHeads, UpsampleAdd
from onelook.settings import DetectSettings, load_settings

ROUNDS_IN_BFLOAT16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this processor"
)


def test_joined_heads_tell_of_each_anchor_what_the_heads_do() -> None:
    torch.manual_seed(0)
    levels = [AnchorLevel(8, (16, 32, 64)), AnchorLevel(16, (128,))]
    heads = DetectionHeads(5, levels)
    with torch.inference_mode():
        for photos in (2, 1):
            maps = [torch.randn(photos, 5, 4, 3), torch.randn(photos, 5, 2, 2)]
            for ours, theirs in zip(JoinedHeads(heads)(maps), heads(maps), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"backbone": "resnet18", "pyramid_levels": "full", "cascade": True, "mesh": True},
        {"backbone": "resnet50", "context": "none"},
        {"context": "modulated"},
        {"architecture": "grid"},
    ],
    ids=str,
)
def test_in_float32_the_answers_stay_whatever_the_form(project: Path, form: dict) -> None:
    torch.manual_seed(0)
    settings = load_settings(project / "params.yaml").model
    network = JointNetwork(settings.model_copy(update={"init": "random", **form})).eval()
    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    faces = [torch.from_numpy(TEMPLATE * scale + 10)[None].float() for scale in (0.6, 0.2)]
    with torch.inference_mode():
        before = network(images)
        embeddings = network.embed(before.maps, faces)
        after = optimize_for_inference(network, "float32")(images.contiguous(memory_format=torch.channels_last))
        for one, other in zip(before.anchors, after.anchors, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
        torch.testing.assert_close(network.embed(after.maps, faces), embeddings, rtol=1e-3, atol=1e-4)


def test_without_the_package_of_onednn_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = upscale_image(read_orl().portraits[0].read(), 2.0).image
    detect = DetectSettings(score=0.3, nms=0.4, longest_side=1280)
    known = load_torch_predictor(RELEASED).predict([photo], detect)[0]
    monkeypatch.setattr(onednn, "_file", lambda: None)
    found = load_torch_predictor(RELEASED).predict([photo], detect)[0]
    assert len(known) == len(found) == 1
    np.testing.assert_allclose(found.boxes, known.boxes, atol=1e-2)
    np.testing.assert_allclose(found.embeddings, known.embeddings, atol=1e-3)


@ROUNDS_IN_BFLOAT16
def test_in_bfloat16_faces_and_who_they_are_stay() -> None:
    portraits = read_orl().portraits
    photo = np.concatenate([upscale_image(portraits[i].read(), 2.0).image for i in (0, 55, 110)], axis=1)
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    exact, rounded = (
        load_torch_predictor(RELEASED, how).predict([photo], detect)[0] for how in ("float32", "bfloat16")
    )
    assert len(exact) == len(rounded) == 3
    order, same = (np.argsort(found.boxes[:, 0]) for found in (exact, rounded))
    sides = exact.boxes[order, 2] - exact.boxes[order, 0]
    assert (np.abs(exact.boxes[order] - rounded.boxes[same]).max(axis=1) < 0.05 * sides).all()
    assert ((exact.embeddings[order] * rounded.embeddings[same]).sum(axis=1) > 0.98).all()


@ROUNDS_IN_BFLOAT16
def test_maps_are_rounded_and_what_is_told_is_not() -> None:
    looker = load_torch_predictor(RELEASED, "bfloat16")
    with torch.inference_mode():
        shared = looker.network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert {each.dtype for each in shared.maps} == {torch.bfloat16}
    assert {each.dtype for each in (*shared.anchors, *shared.float_features())} == {torch.float32}
    assert all(a.shape[-1] == 2 * b.shape[-1] for a, b in pairwise(shared.maps))


@given(st.tuples(*[st.integers(1, 6)] * 4), st.booleans(), st.booleans())
def test_a_coarse_map_is_added_to_a_finer_one_of_any_size(
    size: tuple[int, int, int, int], odd: bool, innermost: bool
) -> None:
    torch.manual_seed(0)
    batch, channels, height, width = size
    coarse, fine = torch.randn(size), torch.randn(batch, channels, 2 * height - odd, 2 * width - odd)
    if innermost:
        coarse, fine = (each.contiguous(memory_format=torch.channels_last) for each in (coarse, fine))
    wanted = UpsampleAdd()(coarse, fine)
    with torch.inference_mode():
        torch.testing.assert_close(FusedEnlarging()(coarse, fine), wanted)


@given(st.tuples(*[st.integers(1, 12)] * 4), st.sampled_from([2, 4]))
def test_a_map_is_shrunk_to_the_means_of_its_squares(size: tuple[int, int, int, int], times: int) -> None:
    x = torch.arange(prod(size)).float().sin().reshape(size)
    wanted = torch.nn.functional.avg_pool2d(x, times, ceil_mode=True)
    with torch.inference_mode():
        for shrinking in (AvgPool(), FusedShrinking()):
            torch.testing.assert_close(shrinking(x, times), wanted, rtol=1e-5, atol=1e-6)
