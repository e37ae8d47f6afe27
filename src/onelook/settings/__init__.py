"""Settings of a run: one typed tree with defaults, read from params.yaml."""

from onelook.settings.anchor_matching import CascadeThresholds, MatchingSettings, MatchThresholds
from onelook.settings.base import BaseSettings, Precision
from onelook.settings.baselines import BaselineName, MtcnnSettings
from onelook.settings.evaluate import DetectSettings, EvaluateSettings, IndexSettings
from onelook.settings.face_batches import DegradeSettings, FaceBatchSettings
from onelook.settings.identity import IdentitySettings
from onelook.settings.loading import load_settings, parse_settings
from onelook.settings.model import (
    ConvSampling,
    EmbeddingSettings,
    GridSettings,
    ModelSettings,
    PretrainedPart,
    RecognizerSettings,
    TeacherSettings,
)
from onelook.settings.prepare import (
    AnnotateSettings,
    ComposeSettings,
    PrepareSettings,
    SplitFractions,
)
from onelook.settings.readers import (
    CelebaImages,
    CelebaSettings,
    ExtraFacesSettings,
    FolderSettings,
    JsonAnnotationsSettings,
    LfwSettings,
    RecordIOSettings,
    WiderSettings,
)
from onelook.settings.schema import Settings
from onelook.settings.tracking import TrackingSettings
from onelook.settings.train import AugmentSettings, StepSchedule, TaskWeightSettings, TrainSettings

__all__ = [
    "AnnotateSettings",
    "AugmentSettings",
    "BaseSettings",
    "BaselineName",
    "CascadeThresholds",
    "CelebaImages",
    "CelebaSettings",
    "ComposeSettings",
    "ConvSampling",
    "DegradeSettings",
    "DetectSettings",
    "EmbeddingSettings",
    "EvaluateSettings",
    "ExtraFacesSettings",
    "FaceBatchSettings",
    "FolderSettings",
    "GridSettings",
    "IdentitySettings",
    "IndexSettings",
    "JsonAnnotationsSettings",
    "LfwSettings",
    "MatchThresholds",
    "MatchingSettings",
    "ModelSettings",
    "MtcnnSettings",
    "Precision",
    "PrepareSettings",
    "PretrainedPart",
    "RecognizerSettings",
    "RecordIOSettings",
    "Settings",
    "SplitFractions",
    "StepSchedule",
    "TaskWeightSettings",
    "TeacherSettings",
    "TrackingSettings",
    "TrainSettings",
    "WiderSettings",
    "load_settings",
    "parse_settings",
]
