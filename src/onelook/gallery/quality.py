"""How good a photo of a face is to enrol: how sure the detector is, how large and how sharp the face is."""

from pydantic import BaseModel, ConfigDict, Field

# In pixels. Two photos of a person are similar enough for the name in 85 % of pairs; where one face is 56 pixels large
# in three quarters, at 36 pixels in half, at 30 in a third, at 24 in a tenth (benchmarks/enrolment_quality.py).
LEAST_SIZE = 32.0
FULL_SIZE = 64.0
# A Gaussian blur of 1.5 % of the face leaves a sharpness of 0.77 and 77 % of those pairs; of 3 %, 0.39 and half of
# them; of 4.5 %, 0.21 and 7 %; of 7 %, 0.10 and none.
LEAST_SHARPNESS = 0.2
FULL_SHARPNESS = 0.6
# A photo that is known to be poor still counts, so that a person with nothing else has a template.
_LEAST_SHARE = 0.1


class Quality(BaseModel):
    """What is measured of an enrolled face."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    score: float = Field(ge=0, le=1, description="how sure the detector is that it is a face")
    size: float = Field(ge=0, description="square root of the box area, in pixels as the network sees the photo")
    sharpness: float = Field(ge=0, description="see `measuring.sharpness`")

    @property
    def weight(self) -> float:
        """How much the photo counts in its person's template, 0..1; a poor photo counts little, never nothing."""
        large, sharp = self.size / FULL_SIZE, self.sharpness / FULL_SHARPNESS
        return self.score * min(1.0, max(_LEAST_SHARE, large)) * min(1.0, max(_LEAST_SHARE, sharp))


def shortcoming(quality: Quality) -> str | None:
    """Why a photo is not to be enrolled, and what to do; None where it may be."""
    if quality.size < LEAST_SIZE:
        return f"the face is {quality.size:.0f} pixels large, {LEAST_SIZE:.0f} are needed; use a larger one, or crop it"
    if quality.sharpness < LEAST_SHARPNESS:
        return f"the face is blurred (sharpness {quality.sharpness:.2f}, {LEAST_SHARPNESS} is needed); use a sharp one"
    return None
