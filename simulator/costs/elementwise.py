"""NumPy's element-wise functions, typed as the formulas use them.

A formula is written for one plan, in floats. The same code prices thousands of plans
when its arguments are arrays, which the type checker does not need to know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

ceil: Callable[[float], float] = np.ceil
log2: Callable[[float], float] = np.log2
floor: Callable[[float], float] = np.floor
maximum: Callable[[float, float], float] = np.maximum
minimum: Callable[[float, float], float] = np.minimum
where = cast("Callable[[float, float, float], float]", np.where)
clip = cast("Callable[[float, float, float], float]", np.clip)
