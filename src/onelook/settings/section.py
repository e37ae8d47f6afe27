"""Base class of every settings section: immutable, no unknown keys, no infinite numbers."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of params.yaml. A key that is absent takes the default; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False, validate_default=True)
