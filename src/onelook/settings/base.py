"""Settings that every stage shares."""

from typing import Literal

from pydantic import Field, PositiveInt

from onelook.settings.section import Section

Precision = Literal["float32", "bfloat16"]


class BaseSettings(Section):
    """Seed and threads of a run."""

    seed: int = Field(2026, ge=0, le=2**31 - 1, description="the one seed that every random number comes from")
    threads: PositiveInt = Field(2, description="processor threads of torch and OpenCV; part of the exact result")
