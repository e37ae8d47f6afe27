"""The whole tree of params.yaml."""

from typing import Self

from pydantic import model_validator

from onelook.settings.base import BaseSettings
from onelook.settings.evaluate import DetectSettings, EvaluateSettings, IndexSettings
from onelook.settings.model import ModelSettings, TeacherSettings
from onelook.settings.prepare import PrepareSettings
from onelook.settings.section import Section
from onelook.settings.tracking import TrackingSettings
from onelook.settings.train import TrainSettings


class Settings(Section):
    """All sections of params.yaml.

    Each is a parameter dependency of the stage of its name; base, model and detect of several stages, tracking of none.
    """

    base: BaseSettings = BaseSettings()
    prepare: PrepareSettings = PrepareSettings()
    teacher: TeacherSettings = TeacherSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    detect: DetectSettings = DetectSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    index: IndexSettings = IndexSettings()
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _grid_fits(self) -> Self:
        if self.model.architecture == "grid":
            if self.train.faces.batch_size > 0:
                raise ValueError(
                    "model.architecture: grid learns faces where they stand in scenes, cut out they would all lie in "
                    "one cell; set train.faces.batch_size: 0"
                )
            if self.teacher.tail_source is not None:
                raise ValueError("model.architecture: grid has no tail to initialize; set teacher.init_tail: false")
        return self
