"""The feature pyramid (Lin et al. 2017) and the context modules (SSH, Najibi et al. 2017) upon it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.model.layers import ConvNorm
from onelook.settings import Model, Sampling


class Enlarging(nn.Module):
    """A map's cells, each as often as it takes, added to a finer map: (B, c, h, w), (B, c, H, W) -> (B, c, H, W)."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return fine + functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


class Pyramid(nn.Module):
    """Top-down pathway: each map, projected to `channels`, plus the enlarged one above it, smoothed by a 3x3.

    Maps from fine to coarse in, as many maps of `channels` channels out, same sizes. RetinaFace's full form has one
    more on top, half as large: a 3x3 of stride 2 on the coarsest map in; and its other 3x3 may be deformable (arXiv
    1905.00641, section 4.2).
    """

    def __init__(
        self, inputs: Sequence[int], channels: int, *, sampling: Sampling = "plain", one_more: bool = False
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(size, channels, kernel=1) for size in inputs)
        self.enlarge = Enlarging()
        self.merge = nn.ModuleList(ConvNorm(channels, channels, sampling=sampling) for _ in inputs[:-1])
        self.top = ConvNorm(inputs[-1], channels, stride=2) if one_more else None

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for i in reversed(range(len(self.merge))):
            levels[i] = self.merge[i](self.enlarge(levels[i + 1], levels[i]))
        return levels if self.top is None else [*levels, self.top(maps[-1])]


class Context(nn.Module):
    """SSH's context module: 3x3, 5x5 and 7x7 receptive fields out of stacked 3x3. (B, c, H, W) -> (B, c, H, W).

    In RetinaFace's full form they are deformable (arXiv 1905.00641, section 4.2).
    """

    def __init__(self, channels: int, *, sampling: Sampling = "plain") -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.near = ConvNorm(channels, half, leak=0, sampling=sampling)
        self.step = ConvNorm(channels, quarter, sampling=sampling)
        self.middle = ConvNorm(quarter, quarter, leak=0, sampling=sampling)
        self.far_step = ConvNorm(quarter, quarter, sampling=sampling)
        self.far = ConvNorm(quarter, quarter, leak=0, sampling=sampling)

    def forward(self, x: Tensor) -> Tensor:
        step = self.step(x)
        return torch.cat([self.near(x), self.middle(step), self.far(self.far_step(step))], dim=1)


def context_modules(settings: Model, levels: int) -> nn.ModuleList:
    """A module for each level, or nothing in its place; the levels share nothing."""
    if settings.context == "none":
        return nn.ModuleList(nn.Identity() for _ in range(levels))
    return nn.ModuleList(Context(settings.pyramid, sampling=settings.sampling) for _ in range(levels))
