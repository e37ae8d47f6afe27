import pytest
import torch
from torch.nn import functional

from helpers.networks import tiny_embedding, upright_faces
from onelook.inference.fast.sampling import FastSampler
from onelook.model.embedding_head import EmbeddingHead, InvertedResidual
from onelook.settings import EmbeddingSettings

CHANNELS = {2: 16, 4: 32, 8: 64, 16: 64}
EMBEDDING = tiny_embedding(16, channels=24, grid_size=28, widths=(24, 32), depths=(0, 1), gdc_channels=48)


def make_head(fast: bool, **changes: object) -> EmbeddingHead:
    """Build a head with the reference sampler or the fast one; the weights depend on neither."""
    settings = EMBEDDING.model_copy(update=changes)
    torch.manual_seed(0)
    head = EmbeddingHead(CHANNELS, settings).eval()
    if fast:
        head.sampler = FastSampler(settings)
    return head


@pytest.fixture(params=[False, True], ids=["reference", "fast"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def head(fast: bool) -> EmbeddingHead:
    return make_head(fast)


def random_maps(images: int, side: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(images, channels, side // stride, side // stride, generator=generator)
        for stride, channels in CHANNELS.items()
    ]


def to_dense_grid(finest: torch.Tensor) -> torch.Tensor:
    """Rearrange the finest map's samples (n, 4 c, s, s), point by point, to (n, c, 2 s, 2 s)."""
    return functional.pixel_shuffle(finest.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)


def test_embeddings_are_unit_rows_image_by_image(head: EmbeddingHead) -> None:
    maps = random_maps(3, 128)
    landmarks = [upright_faces((10, 10, 60)), torch.zeros(0, 5, 2), upright_faces((5, 40, 70), (60, 60, 50))]
    embeddings = head(maps, landmarks)
    assert embeddings.shape == (3, 16)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
    alone = head([x[2:] for x in maps], landmarks[2:])
    torch.testing.assert_close(alone, embeddings[1:], rtol=1e-4, atol=1e-5)


def test_faces_of_different_sizes_in_a_batch_equal_each_alone(head: EmbeddingHead) -> None:
    maps = random_maps(2, 384)
    landmarks = [upright_faces((10, 10, 300), (200, 200, 40), (5, 300, 70)), upright_faces((30, 20, 150))]
    exact_maps, exact_landmarks = [x.double() for x in maps], [x.double() for x in landmarks]
    samples, order = head.sample(exact_maps, exact_landmarks)
    order = torch.arange(4) if order is None else order
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    alone = [
        head.sample([x[i : i + 1] for x in exact_maps], [face[None]])[0]
        for i, faces in enumerate(exact_landmarks)
        for face in faces
    ]
    for batch, single in zip(samples, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(batch, torch.cat(single)[order], rtol=1e-4, atol=1e-4)
    rows = [head([x[:1] for x in maps], [face[None]]) for face in landmarks[0]]
    rows.append(head([x[1:] for x in maps], landmarks[1:]))
    torch.testing.assert_close(head(maps, landmarks), torch.cat(rows), rtol=1e-4, atol=1e-5)


def test_no_faces_give_no_embeddings(head: EmbeddingHead) -> None:
    assert head(random_maps(1, 64), [torch.zeros(0, 5, 2)]).shape == (0, 16)


def test_samples_of_a_coordinate_map_are_the_sampling_grid(head: EmbeddingHead) -> None:
    """A map that holds its own cells' centers, sampled, gives the points where it was sampled."""
    y, x = torch.meshgrid(torch.arange(64) * 2 + 1.0, torch.arange(80) * 2 + 1.0, indexing="ij")
    fine = torch.stack([x, y])[None].repeat(1, 8, 1, 1)
    y, x = torch.meshgrid(torch.arange(32) * 4 + 2.0, torch.arange(40) * 4 + 2.0, indexing="ij")
    coarse = torch.stack([x, y])[None].repeat(1, 16, 1, 1)
    maps = [fine, coarse, torch.zeros(1, 64, 16, 20), torch.zeros(1, 64, 8, 10)]
    for side in (56.0, 110.0):
        (finest, second, *_), _ = head.sample(maps, [upright_faces((12, 9, side))])
        for sampled, samples in ((to_dense_grid(finest), 56), (second, 28)):
            step = side / samples
            across = (12 + step * (torch.arange(samples) + 0.5)).expand(samples, samples)
            down = (9 + step * (torch.arange(samples) + 0.5))[:, None].expand(samples, samples)
            torch.testing.assert_close(sampled[0, 0], across, atol=0.05, rtol=0)
            torch.testing.assert_close(sampled[0, 1], down, atol=0.05, rtol=0)


def test_factored_conv_equals_one_1x1_convolution_of_the_concatenated_samples(head: EmbeddingHead) -> None:
    maps = random_maps(2, 160)
    landmarks = [upright_faces((10, 10, 100), (40, 30, 60)), upright_faces((-20, 50, 90))]
    samples, _ = head.sample(maps, landmarks)
    concatenated = torch.cat([functional.pixel_unshuffle(to_dense_grid(samples[0]), 2), *samples[1:]], dim=1)
    expected = functional.conv2d(concatenated, head.fusion[0].weight)
    torch.testing.assert_close(head.fusion[0](samples), expected, rtol=1e-4, atol=1e-4)


def test_roi_equals_warp_for_upright_faces_only(fast: bool) -> None:
    warp, roi = make_head(fast), make_head(fast, sampling="roi")
    maps = random_maps(1, 160)
    upright = upright_faces((20, 30, 90))
    torch.testing.assert_close(roi(maps, [upright]), warp(maps, [upright]), rtol=1e-3, atol=1e-4)
    rotated = (upright - 80).flip(-1) * torch.tensor([-1.0, 1.0]) + 80
    assert (roi(maps, [rotated]) - warp(maps, [rotated])).abs().max() > 0.01


def test_center_samples_the_features_of_one_point(fast: bool) -> None:
    head = make_head(fast, sampling="center")
    maps = [torch.zeros(2, c, 128 // s, 128 // s) for s, c in CHANNELS.items()]
    for x in maps:
        x[:] = torch.randn(2, x.shape[1], 1, 1)
    # A part of the maps that no bilinear sample at the center of a face reaches.
    changed = [x.clone() for x in maps]
    for x in changed:
        x[:, :, : x.shape[-1] // 4] += 1
    landmarks = [upright_faces((20, 20, 80)), upright_faces((20, 20, 80), (24, 10, 90))]
    samples, _ = head.sample(maps, landmarks)
    assert [tuple(each.shape) for each in samples] == [(3, 64, 1, 1), (3, 32, 1, 1), (3, 64, 1, 1), (3, 64, 1, 1)]
    torch.testing.assert_close(to_dense_grid(samples[0])[0], maps[0][0, :, :2, :2])
    torch.testing.assert_close(samples[1][1:, :, 0, 0], maps[1][1, :, 0, 0].expand(2, -1))
    rows = head(maps, landmarks)
    assert rows.shape == (3, 16)
    torch.testing.assert_close(head(changed, landmarks), rows)
    assert head(maps, [torch.zeros(0, 5, 2)] * 2).shape == (0, 16)


def test_weights_do_not_depend_on_the_sampling() -> None:
    shapes = [
        {name: value.shape for name, value in make_head(fast, sampling=sampling).state_dict().items()}
        for sampling, fast in (("warp", False), ("warp", True), ("roi", False), ("center", False))
    ]
    assert all(each == shapes[0] for each in shapes)


def test_large_faces_are_sampled_without_aliasing(head: EmbeddingHead) -> None:
    """A checkerboard finer than the sampling grid becomes gray."""
    board = ((torch.arange(512)[:, None] + torch.arange(512)[None]) % 2).float()
    others = [torch.zeros(1, c, 1024 // s, 1024 // s) for s, c in CHANNELS.items() if s > 2]
    face = [upright_faces((100, 100, 800))]
    samples, _ = head.sample([board.expand(1, 16, 512, 512), *others], face)
    gray, _ = head.sample([torch.full((1, 16, 512, 512), 0.5), *others], face)
    torch.testing.assert_close(samples[0], gray[0], atol=1e-4, rtol=0)


def test_only_maps_of_the_named_strides_are_sampled(fast: bool) -> None:
    head = make_head(fast, strides=(4, 16))
    maps = random_maps(1, 128)
    landmarks = [upright_faces((10, 10, 90))]
    samples, _ = head.sample(maps, landmarks)
    # The finest of the named maps is the one sampled at 2x2 points per cell.
    assert [tuple(each.shape) for each in samples] == [(1, 128, 28, 28), (1, 64, 28, 28)]
    rows = head(maps, landmarks)
    maps[0], maps[2] = torch.full_like(maps[0], torch.nan), torch.full_like(maps[2], torch.nan)
    torch.testing.assert_close(head(maps, landmarks), rows)


def test_inverted_residual_adds_its_input_only_where_shapes_agree() -> None:
    x = torch.rand(1, 8, 6, 6)
    block = InvertedResidual(8, 8).eval()
    with torch.no_grad():
        block.body[-1].conv.weight.zero_()
    torch.testing.assert_close(block(x), x)
    assert not InvertedResidual(8, 16).residual and not InvertedResidual(8, 8, stride=2).residual


@pytest.mark.parametrize("strides", [(2, 4, 8, 16), (1, 4, 8, 16)])
def test_embeddings_and_gradients_in_bfloat16_are_close_and_embeddings_are_float32(strides: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    channels = {2: 16, 4: 32, 8: 64, 16: 64} if strides[0] == 2 else {1: 3, 4: 32, 8: 64, 16: 64}
    # In training, the norms of untrained layers would amplify the rounding.
    head = EmbeddingHead(channels, EmbeddingSettings(strides=strides, dim=32)).eval()
    maps = [torch.randn(1, c, 160 // s, 160 // s) for s, c in channels.items()]
    points = [torch.rand(8, 5, 2) * 60 + 50]
    with torch.autocast("cpu", torch.bfloat16):
        samples, _ = head.sample(maps, points)
    for sampled, expected in zip(samples, head.sample(maps, points)[0], strict=True):
        torch.testing.assert_close(sampled, expected, rtol=0, atol=0)
    target = functional.normalize(torch.randn(8, 32))
    results = []
    for enabled in (False, True):
        head.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            embeddings = head(maps, points)
        assert embeddings.dtype == torch.float32
        (1 - (embeddings * target).sum(1)).mean().backward()
        results.append((embeddings.detach(), head.fusion[0].weight.grad.clone()))
    (exact, exact_gradient), (rounded, gradient) = results
    assert (exact * rounded).sum(1).min() > 0.99
    assert functional.cosine_similarity(exact_gradient.flatten(), gradient.flatten(), dim=0) > 0.8
