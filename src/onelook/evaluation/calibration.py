"""Thresholds that keep a rate of false accepts, and the one for "unknown" that travels with model and gallery."""

from typing import Any

import numpy as np

from onelook.errors import DataError
from onelook.evaluation.identification import Trials
from onelook.evaluation.rates import threshold_at
from onelook.settings import Detect
from onelook.unknown import Unknown, round_up


def uncalibrated(target_fpir: float, fingerprint: str, detect: Detect) -> dict[str, object]:
    """The contents of calibration.json where nobody has a name: no threshold, so that no gallery takes it over."""
    return {
        "threshold": None,
        "unknown": None,
        "target_fpir": target_fpir,
        "fingerprint": fingerprint,
        "detect": detect.model_dump(mode="json"),
        "people": 0,
        "probes": 0,
    }


def calibrate(
    trials: Trials, unknown: Unknown | None, *, target_fpir: float, fingerprint: str, detect: Detect
) -> dict[str, Any]:
    """The contents of calibration.json: the lowest similarity at which a face gets a name.

    Set on the non-mated scores of people whom neither training nor the test has seen: at most `target_fpir` of them
    reach the threshold. It is rounded up to four decimals, so that what is shown is what is used and a rounding error
    in a similarity cannot matter. The rate holds for a gallery about as large as theirs; for one of any other size, the
    threshold is what `unknown` gives, where it could be fitted.

    Raises:
        DataError: there is no non-mated score, so nothing to set the threshold on.
    """
    if len(trials.other_scores) == 0:
        raise DataError(
            "the threshold for unknown faces cannot be set: of the validation people nobody was found, or only one is "
            "enrolled; train longer or prepare more people"
        )
    return {
        "threshold": round_up(threshold_at(trials.other_scores, target_fpir)),
        "unknown": None if unknown is None else unknown.model_dump(),
        "target_fpir": target_fpir,
        "fingerprint": fingerprint,
        "detect": detect.model_dump(mode="json"),
        "people": len(np.unique(trials.units)),
        "probes": len(trials.other_scores),
    }
