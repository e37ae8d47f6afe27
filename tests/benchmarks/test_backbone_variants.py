"""Backbone variants: branch folding, retained weights of the released network, distillation."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

import backbone_distillation
from backbone_distillation import BATCH, SIDE, Photos, Stage, distill, loss_parts, map_loss
from backbone_variants import REFERENCE, SHAPES, Branches, build, folded, multiply_adds

from helpers.portraits import portrait
from onelook.data.readers.lfw import read_pairs
from onelook.inference.fast.network import optimize_for_inference
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import NetworkOutput
from onelook.model.serialization import load_model

# Random images: outputs are compared whole, not detections.
IMAGES = torch.rand(2, 3, 50, 71, generator=torch.Generator().manual_seed(0)) * 255
POINTS = [torch.rand(1, 5, 2, generator=torch.Generator().manual_seed(1)) * 40 for _ in IMAGES]


@pytest.fixture(autouse=True)
def one_thread():
    """Restore thread counts and the determinism flag that a training sets."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def with_statistics(module: nn.Module) -> nn.Module:
    """Return the module in evaluation mode with random batch-norm statistics."""
    generator = torch.Generator().manual_seed(2)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            for tensor in (each.running_mean, each.running_var, each.weight.data, each.bias.data):
                assert tensor is not None
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return module.eval()


@pytest.mark.parametrize("kernels", [(3, 3, 1), (5, 3, 1), (1,)])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [(16, 24), (13, 7), (1, 2)])
@torch.no_grad()
def test_branches_fold_into_one_convolution_of_the_same_values(
    kernels: tuple[int, ...], stride: int, size: tuple[int, int]
) -> None:
    branches = Branches(3, 8, kernels, stride)
    with_statistics(branches)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    whole = branches.folded()
    assert [each.kernel_size for each in whole.modules() if isinstance(each, nn.Conv2d)] == [(max(kernels),) * 2]
    torch.testing.assert_close(whole(x), branches(x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_folding_by_hand() -> None:
    branches = Branches(1, 1, (3, 1), stride=2).eval()
    for branch, value, deviation in zip(branches.branches, (1.0, 2.0), (2.0, 4.0), strict=True):
        branch.conv.weight.fill_(value)
        branch.norm.running_var.fill_(deviation**2 - branch.norm.eps)
        branch.norm.running_mean.fill_(1)
        branch.norm.bias.fill_(3)
    # Ones, divided by 2; in the middle 2 / 4 more. Biases: 3 - 1 / 2 and 3 - 1 / 4.
    kernel = torch.full((3, 3), 0.5)
    kernel[1, 1] = 1.0
    conv = branches.folded().conv
    torch.testing.assert_close(conv.weight[0, 0], kernel)
    torch.testing.assert_close(conv.bias, torch.tensor([5.25]))


@torch.inference_mode()
def test_the_reference_variant_equals_the_released_network() -> None:
    released, own = load_model(RELEASED), build(SHAPES[REFERENCE])
    assert own.state_dict().keys() == released.state_dict().keys()
    one, other = (network(IMAGES) for network in (released, own))
    assert all(torch.equal(a, b) for a, b in zip(one.anchor_outputs, other.anchor_outputs, strict=True))
    assert torch.equal(released.embed(one.feature_maps, POINTS), own.embed(other.feature_maps, POINTS))


@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_inference_optimization_of_a_variant_keeps_its_outputs(name: str) -> None:
    network = build(SHAPES[name])
    with_statistics(network.detector.backbone)
    before = network(IMAGES)
    assert [each.shape[-2:] for each in before.feature_maps][3:] == [(7, 9), (4, 5)]
    known = network.embed(before.feature_maps, POINTS)
    ready = optimize_for_inference(folded(network), "float32")
    after = ready(IMAGES)
    for own, theirs in zip(after.anchor_outputs, before.anchor_outputs, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))
    torch.testing.assert_close(ready.embed(after.feature_maps, POINTS), known, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_layers_that_are_not_new_keep_the_released_weights(name: str) -> None:
    known = load_model(RELEASED).state_dict()
    for key, value in build(SHAPES[name]).state_dict().items():
        if not key.startswith(SHAPES[name].new) and not (SHAPES[name].stem and "stem" in key):
            assert torch.equal(value, known[key]), key


@torch.inference_mode()
def test_projection_without_the_finest_map_keeps_constant_maps() -> None:
    released, strided = (load_model(RELEASED).embedding.fusion[0], build(SHAPES["strided"]).embedding.fusion[0])
    parts = [torch.randn(2, channels, 1, 1).expand(-1, -1, 4, 4) for channels in (3, 32, 64, 64)]
    parts[0] = parts[0].repeat(1, 16, 1, 1)
    without = [torch.zeros_like(parts[0]), *parts[1:]]
    # Constant over 2x2 samples, the map of stride 4 counts as much as one sample of it did.
    twice = [parts[1].repeat(1, 4, 1, 1), *parts[2:]]
    torch.testing.assert_close(strided(twice), released(without), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_multiply_adds_are_half_of_torch_flops(name: str) -> None:
    network = folded(build(SHAPES[name]))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.detector.backbone(torch.zeros(1, 3, 64, 96))
    assert multiply_adds(network, 64, 96) == counter.get_total_flops() / 2


def network_output(maps: list[Tensor]) -> NetworkOutput:
    return build(SHAPES[REFERENCE])(IMAGES)._replace(feature_maps=maps, head_features=[])


def test_map_loss_is_in_units_of_channel_std() -> None:
    # 128 values of 1 and -1, and as many of .01 and -.01: variances of 128 / 127, and of a ten-thousandth of that.
    signs = torch.tensor([1.0, -1.0]).repeat(64).reshape(2, 1, 8, 8)
    wanted = torch.cat([signs, 0.01 * signs], 1)
    shifted = wanted + torch.tensor([1, 0.01])[:, None, None]
    assert map_loss(network_output([wanted]), network_output([wanted])) == 0
    # The second variance counts as a hundredth of their mean.
    error = (1 + 1e-4 / (0.01 * 0.50005)) / 2 * 127 / 128
    assert float(map_loss(network_output([shifted]), network_output([wanted]))) == pytest.approx(error, rel=1e-4)
    # A map with other channels is not compared.
    assert map_loss(network_output([shifted[:, :1], wanted]), network_output([wanted, wanted])) == 0


class Noise:
    """Noise crops, endless or `left` of them and then an interruption."""

    def __init__(self, left: int | None = None) -> None:
        self.left = left

    def batch(self, rng: np.random.Generator) -> Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        if self.left is not None:
            self.left -= 1
        return torch.from_numpy(rng.integers(0, 256, (2, 3, 32, 32), dtype=np.uint8))


def test_an_interrupted_distillation_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone_distillation, "STAGES", (Stage("new", 2, 1e-3), Stage("all", 2, 1e-3)))
    monkeypatch.setattr(backbone_distillation, "SAVED", 1)
    shape, start = SHAPES["one-stem"], build(SHAPES[REFERENCE]).state_dict()
    expected = distill("whole", shape, Noise(), tmp_path).state_dict()
    for left in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            distill("parts", shape, Noise(left), tmp_path)
    found = distill("parts", shape, Noise(), tmp_path).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert {each.name for each in tmp_path.iterdir()} == {"whole.safetensors", "parts.safetensors"}
    # A finished distillation is read from its file.
    again = distill("parts", shape, Noise(0), tmp_path).state_dict()
    assert all(torch.equal(again[key], value) for key, value in expected.items())
    # All parameters were trained; batch-norm statistics of released layers are unchanged.
    last = "detector.heads.boxes.0.weight"
    assert not torch.equal(expected[last], start[last])
    assert all(torch.equal(expected[key], start[key]) for key in expected if key in start and "running" in key)


def test_the_first_stage_trains_new_layers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_distillation, "STAGES", (Stage("new", 2, 1e-3),))
    shape = SHAPES["shallow"]
    before, after = build(shape).state_dict(), distill("shallow", shape, Noise(), tmp_path).state_dict()
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert changed and all(key.startswith(shape.new) for key in changed)
    assert {f"{name}.0.conv.weight" for name in shape.new} <= changed


def test_losses_of_the_reference_variant_are_zero() -> None:
    photo = np.concatenate([portrait(1, 1), portrait(2, 1)], axis=1)
    images = torch.from_numpy(photo.transpose(2, 0, 1)[None].copy())
    teacher = load_model(RELEASED).requires_grad_(False)
    known = loss_parts(build(SHAPES[REFERENCE]), teacher, images, np.random.default_rng(0))
    assert {name: float(value.detach()) for name, value in known.items()} == pytest.approx(
        {"maps": 0, "outputs": 0, "embeddings": 0}, abs=1e-6
    )
    losses = loss_parts(build(SHAPES["shallow"]), teacher, images, np.random.default_rng(0))
    assert all(float(value.detach()) > 0.1 for value in losses.values())


@pytest.mark.shared_data
def test_nobody_and_nothing_that_is_tested_on_is_shown(
    shared_data: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    photos = Photos(shared_data)
    tested = {person for one, two, _ in read_pairs(shared_data / "lfw/pairsDevTest.txt") for person, _ in (one, two)}
    assert tested and not tested & {path.parent.name for path in photos.people}
    everything = set((shared_data / "scenes/images").iterdir())
    assert set(photos.web) < everything and len(everything) - len(photos.web) == 437
    batch = photos.batch(np.random.default_rng(0))
    assert batch.shape == (BATCH, 3, SIDE, SIDE) and batch.dtype == torch.uint8
    assert torch.equal(batch, photos.batch(np.random.default_rng(0)))
