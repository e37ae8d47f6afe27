"""FacePoseNet: points of the projected face, and its way through a folder to the predictor."""

from pathlib import Path

import numpy as np
import torch

from onelook.data.landmark_faces import from_square
from onelook.geometry.face_pose import mean_points
from onelook.geometry.face_squares import FACE_SIDE
from onelook.inference.baseline_predictors import open_baselines
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.model.baseline_folder import save_baseline
from onelook.model.face_pose_net import FacePoseNet

BOXES = np.array([[10, 20, 50, 100], [60, 5, 90, 35]], np.float32)


def predict_always(pose: list[float]) -> FacePoseNet:
    """Return a network that predicts one pose."""
    network = FacePoseNet().eval()
    last = network.level.regression[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(2.0)
        network.level.mean.copy_(torch.tensor(pose) - 2 * 0.5)
        network.level.std.fill_(0.5)
    return network


def test_points_are_those_of_the_mean_face_in_the_predicted_pose() -> None:
    network = predict_always([0, 0, 0, 0.1, -0.05, float(np.log(0.4))])
    points = LandmarkPredictor(network).predict(np.zeros((120, 100, 3), np.uint8), BOXES)
    expected = 0.4 * mean_points()[:, :2] + (0.6, 0.45)
    np.testing.assert_allclose(points, from_square(np.stack([expected] * 2), BOXES), atol=1e-4)


def test_labels_are_standardized_by_the_numbers_that_predictions_are_restored_by() -> None:
    level = predict_always([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).level
    faces = torch.rand(3, 1, FACE_SIDE, FACE_SIDE) * 255
    torch.testing.assert_close(level.standardize_poses(level.poses(faces)), level.regress(faces))


def test_brightness_and_contrast_have_no_effect() -> None:
    torch.manual_seed(0)
    level = FacePoseNet().eval().level
    faces = torch.rand(2, 1, FACE_SIDE, FACE_SIDE) * 100
    with torch.no_grad():
        torch.testing.assert_close(level.poses(1.5 * faces + 40), level.poses(faces), atol=1e-4, rtol=1e-4)


def test_a_saved_network_predicts_the_same_points(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FacePoseNet()
    with torch.no_grad():
        network.level.shape.mul_(1.1)
        network.level.mean.copy_(torch.tensor([0, 0, 0, 0, 0, -1.0]))
    image = np.random.default_rng(0).integers(0, 256, (120, 100, 3), dtype=np.uint8)
    save_baseline(tmp_path / "landmarks_face_pose_net", "landmarks_face_pose_net", 8, network)
    opened = open_baselines(tmp_path, torch.device("cpu"))["landmarks_face_pose_net"]
    assert isinstance(opened, LandmarkPredictor)
    expected = LandmarkPredictor(network).predict(image, BOXES)
    np.testing.assert_array_equal(opened.predict(image, BOXES), expected)
    np.testing.assert_allclose(opened.predict(image, BOXES[1:]), expected[1:], atol=1e-3)
