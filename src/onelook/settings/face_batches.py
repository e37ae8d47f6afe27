"""Settings of batches of single face crops, and of their degradations (`train.faces`)."""

from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from onelook.settings.section import Section

Probability = Annotated[float, Field(ge=0, le=1)]

MAX_FACE_FRACTION = 0.8
"""Largest face, square root of the box area, as a fraction of the crop's side: the head must fit."""


class DegradeSettings(Section):
    """Probabilities of degradations of a face; its teacher embedding stays that of the clean crop."""

    mask: Probability = Field(0.0, description="a drawn face mask over mouth and nose")
    glasses: Probability = Field(0.0, description="drawn glasses or sunglasses")
    low_light: Probability = Field(0.0, description="darker, with the noise of a high sensitivity")
    blur: Probability = Field(0.0, description="Gaussian blur, in proportion to the face")
    motion_blur: Probability = Field(0.0, description="blur along a line in a random direction")
    low_resolution: Probability = Field(0.0, description="shrunk and enlarged again")
    gray: Probability = Field(0.0, description="without color")
    jpeg: Probability = Field(0.0, description="recompressed as JPEG of quality 15 to 70")
    off_center: Probability = Field(0.0, description="the five points shifted, rotated and scaled together")


class FaceBatchSettings(Section):
    """Batches of single face crops: many more faces per second than whole scenes."""

    batch_size: NonNegativeInt = Field(0, description="faces in a batch; 0: identity is trained on the scenes alone")
    crop_size: int = Field(144, ge=64, le=512, multiple_of=16, description="side of the square around a face, pixels")
    labeled_fraction: float = Field(0.5, ge=0, le=1, description="fraction of the faces that have an identity")
    images_per_identity: PositiveInt = Field(
        1,
        description="1: every labeled face is seen once an epoch; more: identity-balanced batches, in which identities "
        "are drawn alike, however many photos they have, this many faces of each",
    )
    repeats: dict[str, PositiveInt] = Field(
        {},
        description="how often an epoch has each face of a set of prepare.extra_faces, by the set's name; absent: once",
    )
    size: tuple[PositiveFloat, PositiveFloat] | None = Field(
        None,
        description="range of the size of a face in the crop, the square root of the box area in pixels, drawn "
        "uniformly in its logarithm; null: the size in the photo, at most that of ArcFace's aligned crop",
    )
    rotation_std: NonNegativeFloat = Field(7, description="standard deviation of a random rotation, in degrees")
    scale_std: NonNegativeFloat = Field(
        0.12, description="standard deviation of the logarithm of a random scaling, where size is null"
    )
    downscale_prob: float = Field(
        0.2,
        ge=0,
        le=1,
        description="probability that a face is shrunk, to as little as 0.3 of its size, where size is null",
    )
    degrade: DegradeSettings = DegradeSettings()

    @model_validator(mode="after")
    def _size_fits_the_crop(self) -> Self:
        if self.size is not None and not 8 <= self.size[0] <= self.size[1] <= MAX_FACE_FRACTION * self.crop_size:
            raise ValueError(f"size: needs 8 <= smallest <= largest <= {MAX_FACE_FRACTION} of crop_size")
        return self
