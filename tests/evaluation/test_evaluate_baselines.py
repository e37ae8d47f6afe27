"""Baselines are evaluated beside eigenfaces; without any the metrics have no section for them."""

import numpy as np
import pytest

from onelook.data.manifest import Manifest
from onelook.errors import DataError
from onelook.evaluation.evaluate import Evaluation, evaluate
from onelook.inference.baseline_predictors import CropEmbedder, MtcnnPredictor
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.coarse_to_fine import build_coarse_to_fine
from onelook.model.mobilefacenet import MobileFaceNet
from onelook.model.mtcnn import Mtcnn
from onelook.settings import Settings


def test_detectors_and_recognizers_have_their_own_sections(
    small_evaluation: Evaluation,
    small_predictor: TorchPredictor,
    small_manifest: Manifest,
    small_settings: Settings,
    manifest_without_identities: Manifest,
) -> None:
    embedder = CropEmbedder(MobileFaceNet(16, "average"))
    points = LandmarkPredictor(build_coarse_to_fine())
    baselines = {
        "mtcnn": MtcnnPredictor(Mtcnn()),
        "mobilefacenet_average": embedder,
        "landmarks_coarse_to_fine": points,
    }
    found = evaluate(small_predictor, small_manifest, small_settings, baselines).metrics
    assert "baselines" not in small_evaluation.metrics
    measured = found.pop("baselines")
    assert found == small_evaluation.metrics
    assert measured["mtcnn"].keys() == {"detection", "landmarks", "counts"}
    assert measured["mobilefacenet_average"].keys() == {"verification", "identification"}
    assert measured["mobilefacenet_average"]["identification"] != found["identification"]
    at_points = measured["landmarks_coarse_to_fine"]
    assert at_points.keys() == {"landmarks", "verification", "identification"}
    assert at_points["landmarks"]["nme"] > 2 * found["landmarks"]["nme"]  # untrained
    assert at_points["identification"] != found["identification"]
    unnamed = evaluate(small_predictor, manifest_without_identities, small_settings, {"landmarks_cfan": points})
    assert unnamed.metrics["baselines"]["landmarks_cfan"].keys() == {"landmarks"}
    with pytest.raises(DataError, match="nobody has a name"):
        evaluate(small_predictor, manifest_without_identities, small_settings, {"mobilefacenet": embedder})


def test_crops_are_embedded_in_batches_of_any_size() -> None:
    embedder = CropEmbedder(MobileFaceNet(16))
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    rows = embedder.embed(crops)
    np.testing.assert_allclose(embedder.embed(crops[1:2]), rows[1:2], atol=1e-5)
    assert rows.shape == (3, 16) and embedder.embed(crops[:0]).shape == (0, 16)
