"""Settings of anchor matching: IoU thresholds of the detector and of its cascade, and OHEM."""

from typing import Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from onelook.settings.section import Section


class MatchThresholds(Section):
    """IoU thresholds of positive and negative anchors (RetinaFace 2019, section 4)."""

    positive: float = Field(0.35, gt=0, lt=1, description="IoU at and above which an anchor is a face")
    negative: float = Field(
        0.35, gt=0, lt=1, description="IoU under which an anchor is background; between them it is ignored"
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.negative > self.positive:
            raise ValueError("negative must not be above positive")
        return self


class FirstStageThresholds(MatchThresholds):
    """IoU thresholds of the first cascade stage, for the anchors."""

    positive: float = Field(0.7, gt=0, lt=1)
    negative: float = Field(0.3, gt=0, lt=1)


class SecondStageThresholds(MatchThresholds):
    """IoU thresholds of the second cascade stage, for the boxes that the first predicts."""

    positive: float = Field(0.5, gt=0, lt=1)
    negative: float = Field(0.4, gt=0, lt=1)


class CascadeThresholds(Section):
    """IoU thresholds of the two cascade stages (RetinaFace 2020, multi-task loss; the same in RefineFace)."""

    first: FirstStageThresholds = FirstStageThresholds()
    second: SecondStageThresholds = SecondStageThresholds()


class MatchingSettings(MatchThresholds):
    """Anchor matching and OHEM; its own thresholds are those without a cascade."""

    negatives_per_positive: PositiveFloat = Field(7, description="hardest negatives kept for each positive (OHEM)")
    scale_margin: NonNegativeFloat = Field(
        0.0,
        description="scale-aware margin (RefineFace), subtracted from the face logit of a positive anchor of a face of "
        "16 pixels or less; it falls with the area of the face; 0: none",
    )
    cascade: CascadeThresholds = CascadeThresholds()
