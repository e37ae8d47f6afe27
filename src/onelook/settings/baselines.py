"""Settings of the stage `baselines`."""

from typing import Literal

BaselineName = Literal[
    "mtcnn",
    "mobilefacenet",
    "mobilefacenet_average",
    "landmarks_sun2013",
    "landmarks_coarse_to_fine",
    "landmarks_cfan",
]
"""A system that is trained beside the joint network: MTCNN; MobileFaceNet, also with average pooling; cascades of
landmarks."""
