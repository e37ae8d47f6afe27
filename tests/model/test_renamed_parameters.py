"""State dicts of model format 2 are renamed to today's names, for every architecture."""

import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.model.joint_network import JointNetwork
from onelook.model.renamed_parameters import rename_parameters
from onelook.settings import ModelSettings

# Part of a name today, and what it was in format 2.
FORMER = {
    "detector.backbone.": "detector.trunk.",
    "detector.normalize.mean": "detector.pixel_mean",
    "detector.normalize.std": "detector.pixel_deviation",
    "detector.fpn.smooth.": "detector.pyramid.merge.",
    "detector.fpn.extra.": "detector.pyramid.top.",
    "detector.fpn.": "detector.pyramid.",
    "detector.cascade.": "detector.second.",
    ".conv3x3.": ".near.",
    ".conv5x5_1.": ".step.",
    ".conv5x5_2.": ".middle.",
    ".conv7x7_2.": ".far_step.",
    ".conv7x7_3.": ".far.",
    "embedding.fusion.": "embedding.fuse.",
    "embedding.expand.": "embedding.widen.",
    "embedding.gdc.": "embedding.gather.",
    "mesh.linears.": "mesh.readouts.",
    "dense.anchor_head.linears.": "dense.readout.readouts.",
    "dense.decoder.std": "dense.decoder.deviations",
    "dense.decoder.conv1.linear.": "dense.decoder.inner.mix.",
    "dense.decoder.conv2.linear.": "dense.decoder.outer.mix.",
}
FORMER_RETINAFACE = FORMER | {"embedding.projection.": "embedding.out."}
FORMER_GRID = FORMER | {
    "detector.anchor_sizes": "detector.sizes",
    "detector.heads.": "detector.tell.",
    "detector.encoder.": "detector.encode.",
    "detector.decoder.0.upsample.": "detector.decode.0.enlarge.",
    "detector.decoder.1.upsample.": "detector.decode.1.enlarge.",
    "detector.decoder.0.fusion.": "detector.decode.0.join.",
    "detector.decoder.1.fusion.": "detector.decode.1.join.",
    "embedding.projection.": "embedding.project.",
}
GRID = {"scales": (5, 11, 19), "image_size": 160, "channels": 8}


@pytest.mark.parametrize(
    ("settings", "former"),
    [
        (light_model(tiny_embedding(8)), FORMER_RETINAFACE),
        (light_model(tiny_embedding(8), cascade="all", mesh=True, dense=True), FORMER_RETINAFACE),
        (
            light_model(
                tiny_embedding(8), backbone="resnet18", pyramid_levels="full", fpn_channels=16, context="modulated"
            ),
            FORMER_RETINAFACE,
        ),
        (light_model(tiny_embedding(8), architecture="grid", grid=GRID), FORMER_GRID),
    ],
    ids=["light", "all heads", "full", "grid"],
)
def test_state_dict_of_format_2_is_renamed(settings: ModelSettings, former: dict[str, str]) -> None:
    state = JointNetwork(settings).state_dict()
    old: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        old_name = name
        for new_part, old_part in former.items():
            old_name = old_name.replace(new_part, old_part)
        old[old_name] = value
    assert len(old) == len(state) and old.keys() != state.keys()
    renamed = rename_parameters(old)
    assert list(renamed) == list(state)
    assert all(renamed[name] is value for name, value in state.items())
