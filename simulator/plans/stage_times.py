"""Profiled times of a pipeline's passes, which a plan may give instead of prices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.plans.fields import Quantity
from simulator.plans.section import Section

Time = Annotated[float, Quantity("s")]


class StageTimesSection(Section):
    """Passes of one micro-batch on one pipeline rank, as profiled; no kernel prices."""

    forward: Time = Field(description="F, of all chunks of the rank.")
    backward_input: Time = Field(description="I, backward for inputs.")
    backward_weight: Time = Field(description="W, backward for weights.")
    transfer: Time = Field(description="Sending an activation to the next stage.")
    optimizer: Time | None = Field(
        default=None, description="The optimizer's step; left out, it is priced."
    )
    slowest: Annotated[float, Quantity("1")] = Field(
        default=1.0,
        description="Passes of the slowest rank over the profiled ones: a pipeline"
        " runs at its pace. It is taken to be the middle rank.",
        json_schema_extra={"default": "1"},
    )
