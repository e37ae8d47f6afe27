"""Settings of the identity loss: which one, and its parameters."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from onelook.settings.section import Section


class ArcFaceMargin(Section):
    """ArcFace (Deng et al. 2019, equation 3)."""

    margin: float = Field(0.3, ge=0, le=1.5, description="added to the angle, in radians")


class CosFaceMargin(Section):
    """CosFace (Wang et al. 2018, equation 4)."""

    margin: float = Field(0.35, ge=0, le=1, description="subtracted from the cosine")


class SphereFaceMargin(Section):
    """SphereFace (Liu et al. 2017, equation 7), with embeddings of length `scale`."""

    margin: float = Field(1.35, ge=1, le=5, description="factor of the angle; 1 is no margin")


class CombinedMargin(Section):
    """All three margins at once (Deng et al. 2019, equation 4)."""

    m1: float = Field(1.0, gt=0, le=5, description="factor of the angle (SphereFace); 1 is no margin")
    m2: float = Field(0.3, ge=0, le=1.5, description="added to the angle, in radians (ArcFace)")
    m3: float = Field(0.2, ge=0, le=1, description="subtracted from the cosine (CosFace)")

    @model_validator(mode="after")
    def _any_margin(self) -> Self:
        if (self.m1, self.m2, self.m3) == (1, 0, 0):
            raise ValueError("no margin at all is loss: normalized")
        return self


class TripletMargin(Section):
    """FaceNet (Schroff et al. 2015, section 3)."""

    margin: float = Field(0.2, gt=0, le=4, description="in squared distance, of which the largest is 4")


class CenterLossSettings(Section):
    """Softmax and center loss together (Wen et al. 2016, equation 5)."""

    weight: PositiveFloat = Field(0.003, description="of the center loss against the softmax, the paper's lambda")
    alpha: float = Field(0.5, gt=0, le=1, description="update rate of the centers")


class OimSettings(Section):
    """Online instance matching (Xiao et al. 2017, section 3.2)."""

    queue: PositiveInt = Field(5000, description="number of latest unlabeled faces that are kept as negatives")
    momentum: float = Field(0.5, ge=0, lt=1, description="fraction of an identity's entry that stays at an update")
    temperature: PositiveFloat = Field(0.1, description="divisor of the cosines")


class IdentitySettings(Section):
    """The identity loss; only the parameters of the chosen loss are used."""

    loss: Literal[
        "arcface", "cosface", "sphereface", "combined", "normalized", "softmax", "triplet", "center", "oim"
    ] = Field(
        "arcface", description="normalized: softmax of cosines without a margin; softmax: linear classes with a bias"
    )
    scale: PositiveFloat = Field(
        24, description="scale s of the cosines: arcface, cosface, sphereface, combined, normalized"
    )
    sampled_class_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="of these losses: fraction of the identities in a step's softmax, sampled anew each step, those of "
        "the batch always among them; 1: all; less is for hundreds of thousands (Partial FC, An et al. 2021)",
    )
    arcface: ArcFaceMargin = ArcFaceMargin()
    cosface: CosFaceMargin = CosFaceMargin()
    sphereface: SphereFaceMargin = SphereFaceMargin()
    combined: CombinedMargin = CombinedMargin()
    triplet: TripletMargin = TripletMargin()
    center: CenterLossSettings = CenterLossSettings()
    oim: OimSettings = OimSettings()

    @property
    def uses_unlabeled_faces(self) -> bool:
        """Return whether the loss learns from faces without an identity too."""
        return self.loss == "oim"
