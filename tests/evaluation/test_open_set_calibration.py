import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.errors import DataError
from onelook.evaluation.identification import NON_MATED, Trials, run_trials
from onelook.evaluation.open_set_calibration import calibrate
from onelook.open_set import ImpostorModel
from onelook.settings import DetectSettings

IMPOSTOR_MODEL = ImpostorModel(mean=0.02, std=0.1, intercept=-2.0, slope=0.8)
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)


def non_mated_trials(scores: list[float]) -> Trials:
    count = len(scores)
    rows = np.array(scores, float).reshape(-1, 1)
    return run_trials(rows, np.full(count, NON_MATED), np.arange(count), np.ones(count))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.sampled_from([0.01, 0.1, 0.3]))
def test_the_threshold_is_the_lowest_within_the_target_fpir(scores: list[float], target: float) -> None:
    result = calibrate(non_mated_trials(scores), None, target_fpir=target, fingerprint="f", detect=DETECT)
    threshold = result["threshold"]
    assert isinstance(threshold, float)
    assert np.mean(np.array(scores) >= threshold) <= target
    first_rejected = sorted(scores, reverse=True)[math.floor(target * len(scores) + 1e-9)]
    assert threshold - first_rejected < 1.1e-4


def test_content_of_calibration_json() -> None:
    trials = run_trials(np.array([[0.5, 0.2], [0.1, 0.6]]), np.array([0, 1]), np.array([0, 1]), np.ones(2))
    assert calibrate(trials, IMPOSTOR_MODEL, target_fpir=0.01, fingerprint="abc", detect=DETECT) == {
        "threshold": 0.2001,
        "unknown": {"mean": 0.02, "std": 0.1, "intercept": -2.0, "slope": 0.8},
        "target_fpir": 0.01,
        "fingerprint": "abc",
        "detect": {"score": 0.5, "nms": 0.4, "longest_side": 640, "face_size": 160},
        "people": 2,
        "probes": 2,
    }


def test_calibration_without_non_mated_trials_is_an_error() -> None:
    with pytest.raises(DataError, match="threshold for unknown faces cannot be set"):
        calibrate(non_mated_trials([]), None, target_fpir=0.01, fingerprint="", detect=DETECT)
