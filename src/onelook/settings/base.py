"""Settings that every stage shares."""

from typing import Literal

from pydantic import Field, PositiveInt, field_validator

from onelook.device import DEVICE_NAMES, is_device_name
from onelook.settings.section import Section

Precision = Literal["float32", "bfloat16", "float16"]


class BaseSettings(Section):
    """Seed, threads and device of a run."""

    seed: int = Field(2026, ge=0, le=2**31 - 1, description="the one seed that every random number comes from")
    threads: PositiveInt = Field(2, description="processor threads of torch and OpenCV; part of the exact result")
    device: str = Field(
        "auto",
        description="device of train, evaluate, index and the teacher: cpu, cuda, cuda:N or mps; "
        "auto: CUDA, else MPS, else the CPU",
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not is_device_name(device):
            raise ValueError(f"name {DEVICE_NAMES}")
        return device
