"""Settings of the stage `baselines`."""

from typing import Literal

BaselineName = Literal["mtcnn", "mobilefacenet", "mobilefacenet_average"]
"""A system that is trained beside the joint network: MTCNN; MobileFaceNet, also with average pooling."""
