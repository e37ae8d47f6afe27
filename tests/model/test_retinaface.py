import math

import pytest
import torch
from torch.nn import functional

from helpers.networks import light_model, tiny_embedding
from onelook.geometry.anchors import anchors_to_boxes, make_anchors
from onelook.geometry.boxes import decode_boxes
from onelook.model.conv_norm import ConvNorm
from onelook.model.retinaface import FPN, DepthwiseSeparable, PixelNormalization, RetinaFace
from onelook.settings import ModelSettings

SETTINGS = light_model(tiny_embedding(8))


@pytest.fixture(scope="module")
def light() -> RetinaFace:
    torch.manual_seed(0)
    return RetinaFace(SETTINGS).eval()


def full_detector(**changes: object) -> RetinaFace:
    torch.manual_seed(0)
    return RetinaFace(SETTINGS.model_copy(update={"pyramid_levels": "full", "fpn_channels": 16, **changes})).eval()


def random_maps(*sides: int) -> list[torch.Tensor]:
    """Return maps (2, 4 + i, side, side + 1)."""
    return [torch.rand(2, 4 + i, side, side + 1) for i, side in enumerate(sides)]


def test_light_detector_has_the_public_number_of_parameters(light: RetinaFace) -> None:
    assert sum(parameter.numel() for parameter in light.parameters()) == 426_608


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 130), (33, 31)])
def test_light_outputs_match_the_anchors_at_any_image_size(light: RetinaFace, height: int, width: int) -> None:
    output = light(torch.zeros(2, 3, height, width, dtype=torch.uint8))
    count = len(light.make_anchors(height, width))
    assert count == len(make_anchors(height, width, light.levels))
    assert [tuple(each.shape) for each in output.anchor_outputs] == [(2, count, c) for c in (2, 4, 10)]
    for feature_map, stride in zip(output.feature_maps, (1, 2, 4, 8, 16), strict=True):
        assert feature_map.shape[-2:] == (math.ceil(height / stride), math.ceil(width / stride))


def test_light_backbone_and_feature_maps_have_the_published_channels(light: RetinaFace) -> None:
    assert light.backbone.channels == (16, 32, 64, 128, 256)
    assert [x.shape[1] for x in light(torch.zeros(1, 3, 64, 64)).feature_maps] == [3, 16, 32, 64, 64]


def test_extract_feature_maps_equals_the_forward_pass(light: RetinaFace) -> None:
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    for alone, whole in zip(light.extract_feature_maps(images), light(images).feature_maps, strict=True):
        assert alone.equal(whole)


@pytest.mark.parametrize(("backbone", "stem"), [("mobilenet", 16), ("resnet18", 64), ("resnet50", 64)])
def test_full_feature_maps_are_the_photo_the_stem_and_p2_to_p4(backbone: str, stem: int) -> None:
    output = full_detector(backbone=backbone)(torch.zeros(1, 3, 64, 96))
    shapes = [(1, 3, 64, 96), (1, stem, 32, 48), (1, 16, 16, 24), (1, 16, 8, 12), (1, 16, 4, 6)]
    assert [tuple(x.shape) for x in output.feature_maps] == shapes
    # Three anchors in each cell of 16x24, 8x12, 4x6, 2x3 and 1x2.
    assert [tuple(each.shape) for each in output.anchor_outputs] == [(1, 1536, c) for c in (2, 4, 10)]


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 130), (33, 31)])
def test_full_outputs_match_the_anchors_at_any_image_size(height: int, width: int) -> None:
    detector = full_detector()
    output = detector(torch.zeros(2, 3, height, width, dtype=torch.uint8))
    assert output.anchor_outputs.boxes.shape == (2, len(make_anchors(height, width, detector.levels)), 4)


def test_imagenet_backbone_at_light_levels_has_feature_maps_at_the_same_strides() -> None:
    detector = RetinaFace(light_model(tiny_embedding(8), backbone="resnet18", fpn_channels=16)).eval()
    shapes = [tuple(x.shape) for x in detector(torch.zeros(1, 3, 64, 96)).feature_maps]
    assert shapes == [(1, 3, 64, 96), (1, 64, 32, 48), (1, 64, 16, 24), (1, 16, 8, 12), (1, 16, 4, 6)]


def test_fpn_channels_default_to_256_at_full_levels_and_to_64_at_light_levels() -> None:
    tree = SETTINGS.model_dump()
    full = {"pyramid_levels": "full"}
    assert ModelSettings.model_validate(tree | full | {"fpn_channels": None}).fpn_channels == 256
    assert ModelSettings.model_validate(tree | full | {"fpn_channels": 128}).fpn_channels == 128
    assert ModelSettings.model_validate(tree | {"fpn_channels": None}).fpn_channels == 64


def test_mobilenet_pixels_are_centered_by_the_caffe_mean() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    expected = images.float() - torch.tensor([123.0, 117.0, 104.0])[:, None, None]
    normalize = PixelNormalization(SETTINGS)
    assert normalize(images).equal(expected) and normalize(images.float()).equal(expected)


def test_resnet_pixels_are_normalized_as_the_imagenet_weights_expect() -> None:
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (images / 255 - mean[:, None, None]) / std[:, None, None]
    normalized = PixelNormalization(SETTINGS.model_copy(update={"backbone": "resnet18"}))(images)
    torch.testing.assert_close(normalized, expected, rtol=1e-4, atol=1e-4)


def test_depthwise_separable_of_stride_2_rounds_odd_sides_up() -> None:
    assert DepthwiseSeparable(4, 6, stride=2)(torch.zeros(2, 4, 9, 12)).shape == (2, 6, 5, 6)


def test_conv_norm_has_a_leaky_relu_of_slope_a_tenth() -> None:
    layer = ConvNorm(1, 1, kernel=1).eval()
    with torch.no_grad():
        layer.conv.weight.fill_(1)
    outputs = layer(torch.tensor([[[[-2.0, 3.0]]]])).flatten().tolist()
    assert outputs == pytest.approx([-0.2, 3.0], rel=1e-4)


def test_fpn_levels_have_the_sizes_of_the_maps() -> None:
    levels = FPN([4, 5, 6], 16)(random_maps(20, 10, 5))
    assert [tuple(level.shape) for level in levels] == [(2, 16, 20, 21), (2, 16, 10, 11), (2, 16, 5, 6)]


def test_fpn_extra_level_depends_on_the_coarsest_map_alone() -> None:
    torch.manual_seed(0)
    fpn = FPN([4, 5, 6], 16, extra_level=True).eval()
    maps = random_maps(20, 10, 5)
    levels = fpn(maps)
    assert [tuple(level.shape) for level in levels[2:]] == [(2, 16, 5, 6), (2, 16, 3, 3)]
    weight = fpn.extra.conv.weight / (1 + fpn.extra.norm.eps) ** 0.5
    expected = functional.conv2d(maps[2], weight, stride=2, padding=1)
    torch.testing.assert_close(levels[3], torch.where(expected > 0, expected, expected * 0.1), rtol=1e-4, atol=1e-5)
    # The other levels do not depend on it.
    fpn.extra = None
    for with_extra, without in zip(levels[:3], fpn(maps), strict=True):
        torch.testing.assert_close(with_extra, without)


@pytest.mark.parametrize("context", ["deformable", "modulated"])
def test_untrained_deformable_context_equals_the_plain_one(context: str) -> None:
    """In training mode, because batch norms then undo that modulated samples start at half their weight."""
    plain, other = full_detector(), full_detector(context=context)
    assert other.load_state_dict(plain.state_dict(), strict=False).unexpected_keys == []
    images = torch.randint(0, 256, (4, 3, 128, 128), dtype=torch.uint8)
    outputs = zip(plain.train()(images).anchor_outputs, other.train()(images).anchor_outputs, strict=True)
    for expected, found in outputs:
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)


def test_heads_read_the_fpn_levels_without_context_modules() -> None:
    detector = full_detector(context="none")
    assert sum(parameter.numel() for parameter in detector.context.parameters()) == 0
    output = detector(torch.zeros(1, 3, 64, 96))
    p2 = detector.heads.logits[0](output.feature_maps[2]).permute(0, 2, 3, 1).reshape(1, -1, 2)
    torch.testing.assert_close(output.anchor_outputs.logits[:, : p2.shape[1]], p2)


@pytest.mark.parametrize(
    ("context", "parameters"), [("none", 0), ("plain", 2_208), ("deformable", 9_426), ("modulated", 13_035)]
)
def test_context_module_has_the_expected_number_of_parameters(context: str, parameters: int) -> None:
    """At 16 channels: 3x3 from 16 to 8 and 4, and three from 4 to 4, each with a norm.

    9 (16 8 + 16 4 + 3 4 4) + 2 (8 + 4 4); offsets take 18 (9 44 + 5) more, with the samples' weights 27 (9 44 + 5).
    """
    module = full_detector(context=context).context[0]
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


def test_cascade_regresses_from_the_boxes_of_the_first_stage() -> None:
    single, cascade = full_detector(), full_detector(cascade="all")
    added = cascade.state_dict().keys() - single.state_dict().keys()
    assert added and all(name.startswith("cascade.") for name in added)
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    output = cascade(images)
    assert output.first_stage is not None
    shapes = [tuple(each.shape) for each in (*output.anchor_outputs, *output.first_stage)]
    assert shapes == [(2, 1536, c) for c in (2, 4, 10)] * 2
    anchors = cascade.make_anchors(64, 96)
    first_boxes = decode_boxes(output.first_stage.boxes, anchors)
    torch.testing.assert_close(anchors_to_boxes(output.reference_boxes(anchors)), first_boxes, rtol=1e-4, atol=1e-3)
    assert single(images).reference_boxes(anchors).equal(anchors.expand(2, -1, -1))
    # With zero offsets the second stage returns the first one's boxes.
    assert cascade.cascade is not None
    with torch.no_grad():
        for parameter in cascade.cascade.heads.boxes.parameters():
            parameter.zero_()
    output = cascade(images)
    boxes = decode_boxes(output.anchor_outputs.boxes, output.reference_boxes(anchors))
    torch.testing.assert_close(boxes, first_boxes, rtol=1e-4, atol=1e-3)
