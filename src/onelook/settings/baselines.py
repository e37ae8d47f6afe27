"""Settings of the stage `baselines`."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from onelook.settings.section import Section

BaselineName = Literal[
    "mtcnn",
    "mobilefacenet",
    "mobilefacenet_average",
    "landmarks_sun2013",
    "landmarks_coarse_to_fine",
    "landmarks_cfan",
    "landmarks_face_pose_net",
]
"""A system that is trained beside the joint network: MTCNN; MobileFaceNet, also with average pooling; cascades of
landmarks; FacePoseNet."""


class MtcnnSettings(Section):
    """Training of MTCNN, whose networks start from random weights; all else is as in `train`."""

    learning_rate: PositiveFloat = Field(0.004, description="peak of the schedule, for each network")
    updates_per_batch: PositiveInt = Field(
        8, description="gradient steps of a network on the windows of a batch of scenes, drawn anew for each"
    )
