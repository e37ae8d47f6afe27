"""The whole tree of params.yaml."""

from typing import Self

from pydantic import Field, model_validator

from onelook.settings.base import BaseSettings
from onelook.settings.baselines import BaselineName, MtcnnSettings
from onelook.settings.evaluate import DetectSettings, EvaluateSettings, IndexSettings
from onelook.settings.model import ModelSettings, TeacherSettings
from onelook.settings.prepare import PrepareSettings
from onelook.settings.section import Section
from onelook.settings.tracking import TrackingSettings
from onelook.settings.train import TrainSettings


class Settings(Section):
    """All sections of params.yaml.

    Each is a parameter dependency of the stage of its name; base, model and detect of several stages, mtcnn of
    `baselines`, tracking of none.
    """

    base: BaseSettings = BaseSettings()
    prepare: PrepareSettings = PrepareSettings()
    teacher: TeacherSettings = TeacherSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    baselines: tuple[BaselineName, ...] = Field(
        (),
        description="systems that are trained beside the joint network, on the same people for as many batches: "
        "mtcnn, mobilefacenet, mobilefacenet_average, landmarks_sun2013, landmarks_coarse_to_fine, landmarks_cfan, "
        "landmarks_face_pose_net",
    )
    mtcnn: MtcnnSettings = MtcnnSettings()
    detect: DetectSettings = DetectSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    index: IndexSettings = IndexSettings()
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _baselines_have_data(self) -> Self:
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError("baselines: each once")
        on_scenes = [name for name in self.baselines if name == "mtcnn" or name.startswith("landmarks_")]
        if on_scenes and self.train.batch_size == 0:
            raise ValueError(
                f"baselines: {on_scenes[0]} is trained on scenes; set train.batch_size above 0, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _grid_fits(self) -> Self:
        if self.model.architecture == "grid":
            if self.train.faces.batch_size > 0:
                raise ValueError(
                    "model.architecture: grid learns faces where they stand in scenes, cut out they would all lie in "
                    "one cell; set train.faces.batch_size: 0"
                )
            if self.train.weights.feature_supervision > 0:
                raise ValueError(
                    "model.architecture: grid has no levels to classify regions of; set "
                    "train.weights.feature_supervision: 0"
                )
            if self.teacher.tail_source is not None:
                raise ValueError("model.architecture: grid has no tail to initialize; set teacher.init_tail: false")
        return self
