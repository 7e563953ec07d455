"""How the plans of a batch differ: one array per degree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
from numpy.typing import NDArray

from topologies.units import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """How each plan of a batch is split; every field has one entry per plan.

    Fields:
        tensor, pipeline, data: degrees; their product is the cluster's devices [1].
        micro: samples of a micro-batch [1].
        chunks: virtual stages a rank; above 1 means interleaved [1].
    """

    tensor: Count
    pipeline: Count
    data: Count
    micro: Count
    chunks: Count

    def __len__(self) -> int:
        """Return the number of plans."""
        return int(np.size(self.tensor))

    @classmethod
    def of(cls, columns: Mapping[str, object]) -> Splits:
        """Return the splits in columns of equal length, as floats."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: broadcasting(columns[name]) for name in names})


def gathered(value: float, index: NDArray[np.intp]) -> float:
    """Return one entry per plan from one per distinct pair; plain numbers stay."""
    return value if np.ndim(value) == 0 else broadcasting(np.asarray(value)[index])


def broadcasting(values: object) -> float:
    """Return an array of floats, typed as the one number that formulas take."""
    return cast("float", np.asarray(values, float))
