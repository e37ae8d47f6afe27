"""How long a look takes."""

import time
from collections.abc import Sequence

import numpy as np

from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

_WARM_UP = 3


def time_predictions(looker: TorchPredictor, photos: Sequence[np.ndarray], detect: DetectSettings) -> dict[str, float]:
    """Median milliseconds per photo, one photo at a time, reading it not included.

    Args:
        looker: the network.
        photos: RGB uint8 (H, W, 3), at least one.
        detect: how to look.

    Returns:
        `detection_ms`, boxes and landmarks only, and `joint_ms`, with embeddings. The two take turns on each photo, so
        that a machine busy for a while slows both.
    """
    taken: dict[bool, list[float]] = {False: [], True: []}
    for photo in [*[photos[0]] * _WARM_UP, *photos]:
        for embed in taken:
            start = time.perf_counter()
            looker.predict([photo], detect, embed=embed)
            taken[embed].append(time.perf_counter() - start)
    medians = {embed: 1000 * float(np.median(times[_WARM_UP:])) for embed, times in taken.items()}
    return {"detection_ms": medians[False], "joint_ms": medians[True]}
