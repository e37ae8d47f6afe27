"""Base class of settings sections: immutable, no unknown keys."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of params.yaml; an absent key takes its default, an unknown one fails."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False, validate_default=True)
