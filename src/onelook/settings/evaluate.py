"""Settings of detection at inference and of the stages `evaluate` and `index`."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from onelook.settings.section import Section


class DetectSettings(Section):
    """Thresholds and image size of a detection pass."""

    score: float = Field(0.5, ge=0.02, lt=1, description="lowest score of a face that is shown and identified")
    nms: float = Field(0.4, gt=0, lt=1, description="IoU above which the lower-scored of two boxes is dropped")
    longest_side: int = Field(1280, ge=64, le=8192, description="pixels to which a larger photo is shrunk first")
    face_size: int = Field(
        160,
        ge=32,
        le=8192,
        description="largest face that an octave answers for, in its pixels",
    )


class EvaluateSettings(Section):
    """The stage `evaluate`."""

    iou: float = Field(0.5, gt=0, lt=1, description="lowest IoU of a detection with the face it matches")
    target_fpir: float = Field(0.01, gt=0, lt=1, description="false-positive identification rate of the threshold")
    bootstrap_samples: int = Field(1000, ge=100, description="resamples behind each interval")
    large_face_size: PositiveFloat = Field(
        48, description="face size from which the second rank-1 is counted, in pixels"
    )
    eigenfaces: PositiveInt = Field(100, description="components of the eigenfaces baseline, at most")


class IndexSettings(Section):
    """The stage `index`."""

    split: Literal["validation", "test"] = Field("test", description="whose enrollment photos fill the gallery")
