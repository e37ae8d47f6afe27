"""Former names of network parameters, in model folders of format 2."""

import re

from torch import Tensor

# Pattern of a former name, and its replacement; all are applied in this order.
_RENAMED: tuple[tuple[str, str], ...] = (
    (r"^detector\.trunk\.", "detector.backbone."),
    (r"^detector\.pixel_mean$", "detector.normalize.mean"),
    (r"^detector\.pixel_deviation$", "detector.normalize.std"),
    (r"^detector\.pyramid\.merge\.", "detector.fpn.smooth."),
    (r"^detector\.pyramid\.top\.", "detector.fpn.extra."),
    (r"^detector\.pyramid\.", "detector.fpn."),
    (r"^detector\.second\.", "detector.cascade."),
    (r"(context\.\d+)\.near\.", r"\1.conv3x3."),
    (r"(context\.\d+)\.step\.", r"\1.conv5x5_1."),
    (r"(context\.\d+)\.middle\.", r"\1.conv5x5_2."),
    (r"(context\.\d+)\.far_step\.", r"\1.conv7x7_2."),
    (r"(context\.\d+)\.far\.", r"\1.conv7x7_3."),
    # Grid detector.
    (r"^detector\.sizes$", "detector.anchor_sizes"),
    (r"^detector\.tell\.", "detector.heads."),
    (r"^detector\.encode\.", "detector.encoder."),
    (r"^detector\.decode\.(\d+)\.enlarge\.", r"detector.decoder.\1.upsample."),
    (r"^detector\.decode\.(\d+)\.join\.", r"detector.decoder.\1.fusion."),
    (r"^embedding\.project\.", "embedding.projection."),
    # Embedding head.
    (r"^embedding\.fuse\.", "embedding.fusion."),
    (r"^embedding\.widen\.", "embedding.expand."),
    (r"^embedding\.gather\.", "embedding.gdc."),
    (r"^embedding\.out\.", "embedding.projection."),
    # Mesh and dense heads.
    (r"^mesh\.readouts\.", "mesh.linears."),
    (r"^dense\.readout\.readouts\.", "dense.anchor_head.linears."),
    (r"^dense\.decoder\.deviations$", "dense.decoder.std"),
    (r"^dense\.decoder\.inner\.mix\.", "dense.decoder.conv1.linear."),
    (r"^dense\.decoder\.outer\.mix\.", "dense.decoder.conv2.linear."),
)


def rename_parameters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of model format 2 under today's parameter names."""
    return {_rename(name): value for name, value in state.items()}


def _rename(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name
