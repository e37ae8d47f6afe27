"""Timing of a forward pass with and without embeddings."""

import time
from collections.abc import Sequence

import numpy as np

from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

_WARMUP = 3


def time_predictions(
    predictor: TorchPredictor, images: Sequence[np.ndarray], detect: DetectSettings
) -> dict[str, float]:
    """Measure the median milliseconds per image, one image at a time.

    Args:
        predictor: the model.
        images: RGB uint8 (H, W, 3), at least one.
        detect: detection settings.

    Returns:
        `detection_ms`, boxes and landmarks only, and `joint_ms`, with embeddings. The two alternate on each image, so
        that other load on the machine slows both.
    """
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for image in [*[images[0]] * _WARMUP, *images]:
        for embed in seconds:
            start = time.perf_counter()
            predictor.predict([image], detect, embed=embed)
            seconds[embed].append(time.perf_counter() - start)
    medians = {embed: 1000 * float(np.median(times[_WARMUP:])) for embed, times in seconds.items()}
    return {"detection_ms": medians[False], "joint_ms": medians[True]}
