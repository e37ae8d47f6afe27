import numpy as np
import pytest

from onelook.evaluation.landmarks import cumulative_fraction, interocular_errors, landmark_errors, landmark_metrics


def test_missing_points_are_left_out_of_the_error() -> None:
    labeled = np.zeros((3, 5, 2), np.float32)
    predicted = labeled.copy()
    predicted[0, 0] = (3, 4)  # 5 pixels off, the other four exact: mean 1
    predicted[1] += (0, 2)
    labeled[1, 1:] = np.nan  # one point left: mean 2
    labeled[2] = np.nan
    boxes = np.array([[0, 0, 20, 5], [10, 10, 50, 50], [0, 0, 9, 9]], np.float32)  # sizes 10, 40, 9
    np.testing.assert_allclose(landmark_errors(predicted, labeled, boxes), [0.1, 0.05, np.nan])


def test_the_error_does_not_depend_on_image_scale() -> None:
    rng = np.random.default_rng(0)
    predicted, labeled = rng.uniform(0, 30, (2, 4, 5, 2))
    boxes = np.array([[0, 0, 30, 40]] * 4)
    expected = landmark_errors(predicted, labeled, boxes)
    np.testing.assert_allclose(landmark_errors(3 * predicted, 3 * labeled, 3 * boxes), expected)


def test_metrics_and_cumulative_fraction() -> None:
    errors = np.array([0.02, np.nan, 0.2, 0.1])
    assert landmark_metrics(errors) == pytest.approx({"nme": 0.32 / 3, "failure_rate": 1 / 3})
    weighted = landmark_metrics(errors, np.array([2.0, 5.0, 1.0, 0.0]))
    assert weighted == pytest.approx({"nme": 0.08, "failure_rate": 1 / 3})
    assert all(np.isnan(value) for value in landmark_metrics(np.array([np.nan])).values())
    np.testing.assert_allclose(cumulative_fraction(errors, np.array([0.01, 0.02, 0.1, 0.3])), [0, 1 / 3, 2 / 3, 1])


def test_interocular_error_by_hand() -> None:
    # The eyes are 5 pixels eye_distances; the labeled points are 1, 2 and 3 pixels off, 2 on average.
    labeled = np.full((4, 5, 2), np.nan, np.float32)
    labeled[:, :3] = [[0, 0], [3, 4], [2, 5]]
    predicted = np.zeros_like(labeled)
    predicted[:, :3] = labeled[:, :3] + np.array([[1, 0], [0, 2], [-3, 0]], np.float32)
    labeled[1, 1] = np.nan  # no distance without an eye
    labeled[2, 1] = labeled[2, 0]  # nor with both at the same position
    labeled[3] = np.nan
    np.testing.assert_allclose(interocular_errors(predicted, labeled), [0.4, np.nan, np.nan, np.nan], rtol=1e-6)


def test_both_normalizations_use_the_same_distances() -> None:
    rng = np.random.default_rng(1)
    predicted, labeled = rng.uniform(0, 30, (2, 6, 5, 2))
    boxes = np.array([[0, 0, 20, 45]] * 6)  # size 30
    eye_distances = np.linalg.norm(labeled[:, 0] - labeled[:, 1], axis=1)
    np.testing.assert_allclose(
        interocular_errors(predicted, labeled) * eye_distances, landmark_errors(predicted, labeled, boxes) * 30
    )
