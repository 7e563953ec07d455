"""What every table of a plan file has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from simulator.plans.fields import MAX_DEVICES, MAX_DIMENSION

Degree = Annotated[int, Field(ge=1, le=MAX_DEVICES)]
Dimension = Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
DimensionOrNone = Annotated[int, Field(ge=0, le=MAX_DIMENSION)]


class Section(BaseModel):
    """A table of the file: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        defer_build=True,
        allow_inf_nan=False,
    )
