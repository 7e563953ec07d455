"""The layer table as torch modules: what is predicted is what is executed."""

from calibration.modules.batch import example_batch, loss
from calibration.modules.initial import initialise
from calibration.modules.layer import LayerModule
from calibration.modules.network import (
    Network,
    Part,
    build,
    materialise,
    place_tokens,
    tie,
)
from calibration.modules.uncovered import Uncovered

__all__ = [
    "LayerModule",
    "Network",
    "Part",
    "Uncovered",
    "build",
    "example_batch",
    "initialise",
    "loss",
    "materialise",
    "place_tokens",
    "tie",
]
