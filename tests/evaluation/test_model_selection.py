import math

import pytest
import torch

from onelook.data.manifest import Manifest
from onelook.evaluation.identification import dir_at_fpir, rank1
from onelook.evaluation.model_selection import validation_metrics
from onelook.evaluation.probe_set import run_probe_trials, score_matrix
from onelook.evaluation.split_predictions import embed_split
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained
from onelook.settings import ModelSettings, Settings


def compute_metrics(predictor: TorchPredictor, manifest: Manifest, settings: Settings, tasks: str) -> dict[str, float]:
    train = settings.train.model_copy(update={"tasks": tasks})
    return validation_metrics(predictor, manifest, settings.model_copy(update={"train": train}))


def test_the_selection_metric_is_of_the_trained_tasks(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    both = compute_metrics(small_predictor, small_manifest, small_settings, "both")
    assert both["selection_metric"] == pytest.approx(math.sqrt(both["ap50"] * both["dir_fpir10"]))
    detection = compute_metrics(small_predictor, small_manifest, small_settings, "detection")
    assert detection == {"ap50": both["ap50"], "selection_metric": both["ap50"]}
    recognition = compute_metrics(small_predictor, small_manifest, small_settings, "recognition")
    assert recognition.keys() == {"rank1", "dir_fpir10", "selection_metric"}


def test_validation_metrics_equal_an_evaluation_of_the_validation_split(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    metrics = validation_metrics(small_predictor, small_manifest, small_settings)
    split = embed_split(small_predictor, small_manifest, "validation", small_settings)
    trials = run_probe_trials(split.probes, *score_matrix(split.probes, split.enrolled))
    assert metrics["ap50"] == split.outcomes().average_precision() > 0.5
    assert (metrics["rank1"], metrics["dir_fpir10"]) == (rank1(trials), dir_at_fpir(trials, 0.1))
    assert metrics["selection_metric"] ** 2 == pytest.approx(metrics["ap50"] * metrics["dir_fpir10"])


def test_a_network_without_detections_has_zero_metrics(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    detect = small_settings.detect.model_copy(update={"score": 0.999999})
    settings = small_settings.model_copy(update={"detect": detect})
    metrics = validation_metrics(small_predictor, small_manifest, settings)
    assert metrics["rank1"] == metrics["dir_fpir10"] == metrics["selection_metric"] == 0


def test_detection_needs_no_identities(
    manifest_without_identities: Manifest, small_predictor: TorchPredictor, small_settings: Settings
) -> None:
    metrics = compute_metrics(small_predictor, manifest_without_identities, small_settings, "detection")
    assert metrics.keys() == {"ap50", "selection_metric"} and metrics["selection_metric"] == metrics["ap50"] > 0.5


@pytest.mark.parametrize("scales", [(5,), (5, 11, 19)])
def test_a_grid_detector_has_the_same_metrics(
    scales: tuple[int, ...], small_manifest: Manifest, small_settings: Settings
) -> None:
    # An untrained grid that takes every box for a face detects some by chance.
    grid = {"scales": scales, "image_size": 160, "channels": 8}
    model = ModelSettings.model_validate(
        small_settings.model.model_dump() | {"architecture": "grid", "init": "random", "grid": grid}
    )
    torch.manual_seed(0)
    network = build_pretrained(model)
    for convolution in network.detector.heads:
        convolution.bias.data[1::16] = 30.0
    metrics = compute_metrics(TorchPredictor(network), small_manifest, small_settings, "both")
    assert metrics.keys() == {"ap50", "rank1", "dir_fpir10", "selection_metric"}
    assert 0 < metrics["ap50"] < 0.5 and 0 <= metrics["dir_fpir10"] <= metrics["rank1"] < 1
