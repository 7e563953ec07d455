"""A measured step of one device, which a plan may give to set its kernels' pace."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.plans.fields import Quantity
from simulator.plans.section import Section


class DeviceStepSection(Section):
    """One micro-batch and an update on one device alone, as measured."""

    time: Annotated[float, Quantity("s")] = Field(
        description="Of a step of batch.micro samples on one device of the cluster,"
        " nothing else running; kernels keep their shares of it, and the host's part"
        " is in them.",
        examples=["285.7 ms"],
    )
    crowding: Annotated[float, Quantity("1")] = Field(
        default=1.0,
        description="Time of kernels while the other devices of the node work, over"
        " that alone: devices that share a board's power or a host's threads.",
        json_schema_extra={"default": "1"},
    )
