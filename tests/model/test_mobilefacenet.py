"""MobileFaceNet has the published size, and aligns faces of photos as `align_crop` does."""

import numpy as np
import pytest
import torch

from onelook.geometry.alignment import REFERENCE_LANDMARKS, align_crop
from onelook.model.mobilefacenet import MobileFaceNet, SeparateRecognizer


def count_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_layers_have_the_published_size() -> None:
    gdc, average = MobileFaceNet(128).eval(), MobileFaceNet(128, "average").eval()
    # Published: 0.99 million, with a bias in place of the two parameters of a batch norm.
    norms = sum(module.num_features for module in gdc.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert count_parameters(gdc) - norms == 993_344
    # The weights of 512 channels at 7 x 7 cells, and their batch norm.
    assert count_parameters(gdc) - count_parameters(average) == 512 * (49 + 2)
    assert gdc.body(torch.zeros(1, 3, 112, 112)).shape == (1, 512, 7, 7)
    rows = gdc(torch.randint(0, 256, (2, 3, 112, 112), dtype=torch.uint8))
    assert rows.shape == (2, 128) and rows.norm(dim=1).tolist() == pytest.approx([1, 1])


def test_a_face_of_a_photo_is_embedded_as_its_aligned_crop() -> None:
    torch.manual_seed(0)
    network = SeparateRecognizer(8).eval()
    y, x = np.mgrid[:140, :150]
    image = np.stack([x, y, 120 + 60 * np.sin(x / 9) * np.cos(y / 7)], -1).astype(np.uint8)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    landmarks = (0.9 * REFERENCE_LANDMARKS @ turn.T + [45, 10]).astype(np.float32)
    crop = torch.from_numpy(align_crop(image, landmarks)).permute(2, 0, 1)[None]
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    found = []
    network.recognizer.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    with torch.no_grad():
        row = network.embed(network.detector.extract_feature_maps(images), [torch.from_numpy(landmarks)[None]])
        expected = network.recognizer(crop)
    difference = (found[0] - crop)[..., 20:-20, 20:-20].abs()
    assert difference.mean() < 1.5 and difference.max() < 12
    assert row.shape == expected.shape == (1, 8) and float((row * expected).sum()) > 0.99
