"""What the best epoch is chosen by, for each task that may be trained alone."""

import math

import pytest
import torch

from onelook.data.manifest import Manifest
from onelook.evaluation.model_selection import validation_figure
from onelook.evaluation.probe_set import embed_labeled
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained
from onelook.settings import ModelSettings, Settings


def figures(looker: TorchPredictor, manifest: Manifest, settings: Settings, tasks: str) -> dict[str, float]:
    train = settings.train.model_copy(update={"tasks": tasks})
    return validation_figure(looker, manifest, settings.model_copy(update={"train": train}))


def test_the_figure_is_of_the_tasks_that_are_trained(
    small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    both = figures(small_looker, small_manifest, small_settings, "both")
    assert both["figure"] == pytest.approx(math.sqrt(both["ap50"] * both["dir_fpir10"]))
    detection = figures(small_looker, small_manifest, small_settings, "detection")
    assert detection == {"ap50": both["ap50"], "figure": both["ap50"]}
    recognition = figures(small_looker, small_manifest, small_settings, "recognition")
    assert recognition.keys() == {"rank1", "dir_fpir10", "figure"}


def test_faces_are_embedded_where_the_labels_are_whatever_the_detector_says(
    small_looker: TorchPredictor, small_manifest: Manifest
) -> None:
    probes, enrolled = embed_labeled(small_looker, small_manifest, "validation", 0.5)
    labeled = sum(face.identity is not None for scene in small_manifest.select("validation") for face in scene.faces)
    assert probes.labeled.all() and probes.found.all() and len(probes.identities) == labeled
    assert enrolled.found.all()
    first = small_manifest.select("validation", "enroll")[0]
    assert enrolled.landmarks[0].tolist() == first.faces[0].landmarks.tolist()


@pytest.mark.parametrize("scales", [(5,), (5, 11, 19)])
def test_a_grid_is_judged_as_any_detector_is(
    scales: tuple[int, ...], small_manifest: Manifest, small_settings: Settings
) -> None:
    """An untrained grid that takes every box for a face finds some by chance, and knows those it finds and does not."""
    grid = {"scales": scales, "side": 160, "channels": 8}
    model = ModelSettings.model_validate(
        small_settings.model.model_dump() | {"architecture": "grid", "init": "random", "grid": grid}
    )
    torch.manual_seed(0)
    network = build_pretrained(model)
    for convolution in network.detector.tell:
        convolution.bias.data[1::16] = 30.0
    found = figures(TorchPredictor(network), small_manifest, small_settings, "both")
    assert found.keys() == {"ap50", "rank1", "dir_fpir10", "figure"}
    assert 0 < found["ap50"] < 0.5 and 0 <= found["dir_fpir10"] <= found["rank1"] < 1
