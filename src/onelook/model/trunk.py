"""What every form of the detector starts with: a photo's pixels, normalised, through a trunk."""

import torch
from torch import Tensor, nn

from onelook.model.backbone import MobileNet, TrunkMaps
from onelook.model.resnet import ResNet
from onelook.settings import Model

# ImageNet means as Caffe's models have them, red green blue.
PIXEL_MEAN = (123.0, 117.0, 104.0)
# Those of the public PyTorch ImageNet weights, with what the difference is divided by.
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)


class PhotoTrunk(nn.Module):
    """The trunk the settings name and the preprocessing it was trained with, part of the saved model."""

    def __init__(self, settings: Model) -> None:
        super().__init__()
        self.pixel_mean: Tensor
        self.pixel_deviation: Tensor | None
        light = settings.backbone == "mobilenet"
        self.trunk = MobileNet(settings.width) if light else ResNet(settings.backbone)
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN if light else _IMAGENET_MEAN))
        self.register_buffer("pixel_deviation", None if light else torch.tensor(_IMAGENET_DEVIATION))

    def normalised(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..255, uint8 or float -> the same, float, as the trunk wants it."""
        if images.dtype == torch.uint8 and images.is_contiguous(memory_format=torch.channels_last):
            return self._normalised_rows(images)
        pixels = images - self.pixel_mean[:, None, None]
        return pixels if self.pixel_deviation is None else pixels / self.pixel_deviation[:, None, None]

    def _normalised_rows(self, images: Tensor) -> Tensor:
        """`normalised`, a row of pixels at a time: with the colours innermost that is ten times as fast."""
        width = images.shape[-1]
        pixels = images.permute(0, 2, 3, 1)
        rows = pixels.reshape(-1, width * 3).float()
        rows -= self.pixel_mean.repeat(width)
        if self.pixel_deviation is not None:
            rows /= self.pixel_deviation.repeat(width)
        return rows.view(pixels.shape).permute(0, 3, 1, 2)

    def trunk_maps(self, pixels: Tensor) -> TrunkMaps:
        """The trunk's five maps of normalised pixels."""
        maps: TrunkMaps = self.trunk(pixels)
        return maps
