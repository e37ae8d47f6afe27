"""Former names of network parameters.

For model folders that were written before they were renamed.
"""

import re

from torch import Tensor

# Pattern of an old parameter name, and its replacement; applied in this order.
_RENAMED: tuple[tuple[str, str], ...] = (
    (r"^detector\.trunk\.", "detector.backbone."),
    (r"^detector\.pyramid\.merge\.", "detector.fpn.smooth."),
    (r"^detector\.pyramid\.", "detector.fpn."),
    (r"^detector\.second\.", "detector.cascade."),
    (r"(context\.\d+)\.near\.", r"\1.conv3x3."),
    (r"(context\.\d+)\.step\.", r"\1.conv5x5_1."),
    (r"(context\.\d+)\.middle\.", r"\1.conv5x5_2."),
    (r"(context\.\d+)\.far_step\.", r"\1.conv7x7_2."),
    (r"(context\.\d+)\.far\.", r"\1.conv7x7_3."),
    (r"^detector\.pixel_mean$", "detector.normalize.mean"),
    (r"^detector\.pixel_deviation$", "detector.normalize.std"),
    (r"^detector\.sizes$", "detector.anchor_sizes"),
    (r"^embedding\.fuse\.", "embedding.fusion."),
    (r"^embedding\.widen\.", "embedding.expand."),
    (r"^embedding\.gather\.", "embedding.gdc."),
    (r"^embedding\.out\.", "embedding.projection."),
    (r"^(mesh|dense)\.readouts\.", r"\1.linears."),
)


def rename_parameters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of model format 2 under today's parameter names."""
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed
