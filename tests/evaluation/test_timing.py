import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest
from onelook.evaluation.timing import time_predictions
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


def test_a_larger_image_takes_longer(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    images = [read_image(small_manifest.path(scene)) for scene in small_manifest.select("test")[:3]]
    small = time_predictions(small_predictor, images, small_settings.detect)
    large = time_predictions(small_predictor, [np.tile(image, (3, 3, 1)) for image in images], small_settings.detect)
    assert small.keys() == {"detection_ms", "joint_ms"}
    assert 0 < small["detection_ms"] < large["detection_ms"]
    assert small["joint_ms"] < large["joint_ms"]
