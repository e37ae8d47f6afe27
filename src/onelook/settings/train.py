"""Settings of the stage `train`."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from onelook.settings.anchor_matching import MatchingSettings
from onelook.settings.base import Precision
from onelook.settings.face_batches import FaceBatchSettings
from onelook.settings.identity import IdentitySettings
from onelook.settings.section import Section


class StepSchedule(Section):
    """The schedule `steps`: RetinaFace's (2019, section 4.1), in epochs."""

    warmup_epochs: NonNegativeFloat = Field(5, description="epochs of linear warmup to train.learning_rate")
    warmup_start_factor: float = Field(0.1, gt=0, le=1, description="fraction of the rate at the first step")
    milestones: tuple[PositiveFloat, ...] = Field((55, 68), description="epochs after which the rate is divided by ten")

    @model_validator(mode="after")
    def _order(self) -> Self:
        sorted_once = list(self.milestones) == sorted(set(self.milestones))
        if not sorted_once or min(self.milestones, default=self.warmup_epochs) < self.warmup_epochs:
            raise ValueError("milestones: each once, the smallest first, none within warmup_epochs")
        return self


class TaskWeightSettings(Section):
    """Fixed task weights; with task_weighting: learned they are the initial values."""

    classification: PositiveFloat = 1.0
    box: PositiveFloat = 2.0
    landmarks: NonNegativeFloat = Field(1.0, description="0: points are not trained, and predicted ones mean nothing")
    mesh: PositiveFloat = 1.0
    pixel: PositiveFloat = Field(
        0.08, description="of rendered faces; RetinaFace 2019 has .01 beside .25 for the box, which is .08 beside 2"
    )
    identity: NonNegativeFloat = Field(1.0, description="0: names are not used; a teacher alone trains recognition")
    distillation: PositiveFloat = Field(
        5.0,
        description="of pulling embeddings to the teacher's, or to those of the released weights that training "
        "started from",
    )
    similarity: NonNegativeFloat = Field(
        0.0,
        description="of reproducing the similarities of the faces of a batch as the teacher has them (relational "
        "distillation)",
    )
    feature_supervision: NonNegativeFloat = Field(
        0.0,
        description="of a classifier of face regions in the feature maps, which exists in training alone (RefineFace)",
    )
    lwf: PositiveFloat = Field(
        1.0, description="learning without forgetting: of staying close to the initial detector's outputs"
    )


class AugmentSettings(Section):
    """Random changes of a scene each time it is loaded."""

    crop_size: int = Field(320, ge=64, le=1280, multiple_of=32, description="side of the square training crop, pixels")
    zoom: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.7, 1.3), description="range of random scaling before the crop, where short_edge is null"
    )
    short_edge: tuple[float, float] | None = Field(
        None,
        description="range of the crop's side as a fraction of the photo's shorter side, which is then resized to "
        "`crop_size`; null: zoom is used instead",
    )
    min_identity_size: NonNegativeFloat = Field(
        24, description="smaller faces, in pixels of the crop, train detection only"
    )
    photometric: float = Field(
        0.3, ge=0, le=1, description="strength of brightness, contrast, color, blur and noise changes"
    )
    hue_saturation: float = Field(
        0.0, ge=0, le=1, description="strength of hue and saturation changes; 1: those of SSD; 0: none"
    )
    landmark_jitter: NonNegativeFloat = Field(
        0.02, description="noise on sampling landmarks, as a fraction of the face size"
    )
    predicted_landmark_fraction: float = Field(
        0.8, ge=0, le=1, description="fraction of faces sampled at predicted landmarks in the last epoch; grows from 0"
    )

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.zoom[0] > self.zoom[1]:
            raise ValueError("zoom: needs smallest <= largest")
        if self.short_edge is not None and not 0 < self.short_edge[0] <= self.short_edge[1] <= 1:
            raise ValueError("short_edge: needs 0 < smallest <= largest <= 1")
        return self


class TrainSettings(Section):
    """Optimization, losses and augmentation."""

    tasks: Literal["both", "detection", "recognition"] = Field(
        "both",
        description="what is trained: detection alone leaves the embedding head as it is; recognition alone does not "
        "preserve the detector, whose backbone it changes unless backbone_lr_mult is 0",
    )
    seed_offset: NonNegativeInt = Field(
        0, description="0, 1, 2 ...: the same training on the same scenes with other random numbers"
    )
    epochs: PositiveInt = 4
    batch_size: NonNegativeInt = Field(12, description="scenes in a batch; 0: batches of faces alone")
    accumulation_steps: PositiveInt = Field(1, description="batches whose gradients are averaged before a step")
    checkpoint_steps: NonNegativeInt = Field(
        500, description="steps between checkpoints within an epoch; 0: only at its end"
    )
    processes: PositiveInt = Field(
        1,
        description="processes of this machine that divide each batch, with base.threads each; the result is the same "
        "but for rounding, unless sync_batch_norm is false",
    )
    sync_batch_norm: bool = Field(
        True, description="false: each process normalizes its part of the batch by itself, which is faster on a CPU"
    )
    precision: Precision = Field(
        "float32", description="of the network's pass in training; weights and losses are float32"
    )
    faces: FaceBatchSettings = FaceBatchSettings()
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="sgd: with momentum")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    learning_rate: PositiveFloat = Field(0.001, description="peak of the schedule, for the embedding head")
    schedule: Literal["one_cycle", "stable_decay", "steps"] = Field(
        "one_cycle",
        description="one_cycle: up and down over all epochs; stable_decay: constant, and down in the last fifth of the "
        "epochs; steps: warmup, then divided by ten at times",
    )
    steps: StepSchedule = StepSchedule()
    backbone_lr_mult: float = Field(
        0.01,
        ge=0,
        le=1,
        description="learning-rate factor of the part that starts from trained weights (detector or backbone); "
        "0: it stays frozen",
    )
    weight_decay: NonNegativeFloat = 0.0005
    max_grad_norm: PositiveFloat = Field(5.0, description="largest gradient norm")
    task_weighting: Literal["fixed", "learned"] = Field(
        "fixed", description="learned: uncertainty weights (Kendall et al. 2018)"
    )
    matching: MatchingSettings = MatchingSettings()
    identity: IdentitySettings = IdentitySettings()
    weights: TaskWeightSettings = TaskWeightSettings()
    augment: AugmentSettings = AugmentSettings()

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Self:
        if self.batch_size + self.faces.batch_size == 0:
            raise ValueError("batch_size and faces.batch_size are both 0: there is nothing to train on")
        if self.batch_size == 0 and self.backbone_lr_mult > 0 and self.tasks == "both":
            raise ValueError(
                "batch_size is 0, so nothing would preserve detection: set backbone_lr_mult 0, or train on scenes too"
            )
        if self.tasks == "detection" and (self.batch_size == 0 or self.faces.batch_size > 0):
            raise ValueError(
                "tasks is detection: that is trained on scenes, so batch_size must not be 0, and faces.batch_size 0"
            )
        if self.identity.loss == "triplet" and 0 < self.faces.batch_size < 3:
            raise ValueError("faces.batch_size is less than 3: there is no triplet in it")
        if any(0 < size < self.processes for size in (self.batch_size, self.faces.batch_size)):
            raise ValueError("processes is more than batch_size or faces.batch_size: some would have nothing to do")
        return self
