"""The threshold for unknown faces."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.errors import DataError
from onelook.evaluation.calibration import calibrate
from onelook.evaluation.identification import NON_MATED, Trials, run_trials
from onelook.open_set import ImpostorModel
from onelook.settings import DetectSettings

UNKNOWN = ImpostorModel(mean=0.02, deviation=0.1, intercept=-2.0, slope=0.8)
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)


def strangers(scores: list[float]) -> Trials:
    count = len(scores)
    rows = np.array(scores, float).reshape(-1, 1)
    return run_trials(rows, np.full(count, NON_MATED), np.arange(count), np.ones(count))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.sampled_from([0.01, 0.1, 0.3]))
def test_the_threshold_keeps_the_rate_and_wastes_less_than_a_rounding_step(scores: list[float], target: float) -> None:
    result = calibrate(strangers(scores), None, target_fpir=target, fingerprint="f", detect=DETECT)
    threshold = result["threshold"]
    assert isinstance(threshold, float)
    assert np.mean(np.array(scores) >= threshold) <= target
    refused = sorted(scores, reverse=True)[math.floor(target * len(scores) + 1e-9)]
    assert threshold - refused < 1.1e-4


def test_what_travels_with_it() -> None:
    trials = run_trials(np.array([[0.5, 0.2], [0.1, 0.6]]), np.array([0, 1]), np.array([0, 1]), np.ones(2))
    assert calibrate(trials, UNKNOWN, target_fpir=0.01, fingerprint="abc", detect=DETECT) == {
        "threshold": 0.2001,
        "unknown": {"mean": 0.02, "std": 0.1, "intercept": -2.0, "slope": 0.8},
        "target_fpir": 0.01,
        "fingerprint": "abc",
        "detect": {"score": 0.5, "nms": 0.4, "longest_side": 640},
        "people": 2,
        "probes": 2,
    }


def test_without_anybody_to_set_it_on_it_says_so() -> None:
    with pytest.raises(DataError, match="threshold for unknown faces cannot be set"):
        calibrate(strangers([]), None, target_fpir=0.01, fingerprint="", detect=DETECT)
