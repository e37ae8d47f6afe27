"""The second stage of RetinaFace's cascade (Deng et al., CVPR 2020: context heads)."""

from collections.abc import Sequence

from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel, AnchorOutputs
from onelook.model.heads import DetectionHeads
from onelook.model.pyramid import context_modules
from onelook.settings import Model


class SecondStage(nn.Module):
    """Context modules and heads of its own upon the shared pyramid, as the first stage has them.

    Maps of the levels in, fine to coarse; out come its offsets, which lead from the first stage's boxes, and the
    features they were read from.
    """

    def __init__(self, settings: Model, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        self.context = context_modules(settings, len(levels))
        self.heads = DetectionHeads(settings.pyramid, levels)

    def forward(self, levels: Sequence[Tensor]) -> tuple[AnchorOutputs, list[Tensor]]:
        features = [context(level) for context, level in zip(self.context, levels, strict=True)]
        return self.heads(features), features
