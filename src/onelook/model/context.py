"""Context modules between an FPN level and its heads.

References:
    SSH: Najibi et al., ICCV 2017, section 3.3; deformable in RetinaFace, arXiv 1905.00641, section 4.2.
    Receptive field enhancement (RFE): Zhang et al., RefineFace, arXiv 1909.04376; Chi et al., SRN, AAAI 2019.
"""

import torch
from torch import Tensor, nn

from onelook.model.conv_norm import ConvNorm
from onelook.settings import ConvSampling, ModelSettings


class ContextModule(nn.Module):
    """SSH context module: receptive fields of 3x3, 5x5 and 7x7 by stacked 3x3 convolutions, concatenated.

    (B, c, H, W) -> (B, c, H, W). The layers have the names of the public weights.
    """

    def __init__(self, channels: int, *, sampling: ConvSampling = "plain") -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv3x3 = ConvNorm(channels, half, negative_slope=0, sampling=sampling)
        self.conv5x5_1 = ConvNorm(channels, quarter, sampling=sampling)
        self.conv5x5_2 = ConvNorm(quarter, quarter, negative_slope=0, sampling=sampling)
        self.conv7x7_2 = ConvNorm(quarter, quarter, sampling=sampling)
        self.conv7x7_3 = ConvNorm(quarter, quarter, negative_slope=0, sampling=sampling)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5x5_1(x)
        return torch.cat([self.conv3x3(x), self.conv5x5_2(shared), self.conv7x7_3(self.conv7x7_2(shared))], dim=1)


class ReceptiveFieldEnhancement(nn.Module):
    """RFE module: four branches with rectangular receptive fields, concatenated and added to the input.

    (B, c, H, W) -> (B, c, H, W). A branch is a 1x1 convolution to a quarter of the channels, a kernel of 1x3, 3x1, 1x5
    or 5x1, and a 1x1 convolution. Two additions to the paper, whose module stands within a deeper head: the sum has a
    ReLU, as the SSH module's output has.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.branches = nn.ModuleList(
            nn.Sequential(
                ConvNorm(channels, quarter, kernel=1),
                ConvNorm(quarter, quarter, kernel=kernel),
                ConvNorm(quarter, quarter, kernel=1, negative_slope=None),
            )
            for kernel in ((1, 3), (3, 1), (1, 5), (5, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + torch.cat([branch(x) for branch in self.branches], dim=1))


def build_context(settings: ModelSettings, levels: int) -> nn.ModuleList:
    """Build a context module per level, or identities where the settings have none; levels share no weights."""
    if settings.context == "none":
        return nn.ModuleList(nn.Identity() for _ in range(levels))
    if settings.context == "rfe":
        return nn.ModuleList(ReceptiveFieldEnhancement(settings.fpn_channels) for _ in range(levels))
    return nn.ModuleList(ContextModule(settings.fpn_channels, sampling=settings.conv_sampling) for _ in range(levels))
