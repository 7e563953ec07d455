"""Where and in which format a module's parameters are made."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Placing(NamedTuple):
    """Device and format, by the names that torch's modules give them."""

    device: torch.device
    dtype: torch.dtype
