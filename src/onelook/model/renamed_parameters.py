"""Former names of network parameters, for model folders that were written before they were renamed."""

import re

from torch import Tensor

# Pattern of an old parameter name, and its replacement; applied in this order.
_RENAMED: tuple[tuple[str, str], ...] = (
    (r"^detector\.trunk\.", "detector.backbone."),
    (r"^detector\.pyramid\.merge\.", "detector.fpn.smooth."),
    (r"^detector\.pyramid\.", "detector.fpn."),
    (r"^detector\.second\.", "detector.cascade."),
)


def rename_parameters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of model format 2 under today's parameter names."""
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed
