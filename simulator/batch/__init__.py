"""The analytical engine for many plans at once: closed forms over NumPy arrays.

All plans share a model and a cluster and differ in how they are split. Layers are
priced once per distinct (tensor, micro-batch) by the same formulas as everywhere, in
one vectorised pass; stages, pipeline and gradient sums are then array arithmetic.

    T = (m - 1) max aᵢ + Σᵢ (fᵢ + bᵢ) + 2 (p - 1) c  + gradients + norm + optimizer

with fᵢ, bᵢ the passes of stage i, c a transfer, and aᵢ = fᵢ + bᵢ + the transfers of
stage i: bottleneck plus fill and drain.

Limits: exact for equal stages and free transfers; otherwise the bottleneck stage is
taken to run without gaps, and of gradients summed during the last backward, what is
exposed is what does not fit under it. Where transfers cost little the difference to
the longest path is below a percent, and tests bound it; where they dominate (chunks
over 10 Gbit/s, say) it reached 35 %. Price the best candidates again, one by one.

Messages slow the kernels of their own body and those under gradient sums; sends slow
none.

Source: Narayanan et al., arXiv:2104.04473, section 2.2 (bubble of both schedules).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.batch.context import Context
from simulator.batch.ending import ending_time
from simulator.batch.memory import peak_memory
from simulator.batch.passes import passes_time
from simulator.batch.splits import Splits
from simulator.plan import Plan
from topologies.profile import Profile

__all__ = ["BatchResult", "Splits", "predict_batch"]


@dataclass(frozen=True, slots=True, eq=False)
class BatchResult:
    """Predictions, one entry per plan.

    Fields:
        step_time: of one optimizer step [s].
        memory_peak: of the fuller of first and last stage [B].
        fits: whether that is within the device's memory.
    """

    step_time: NDArray[np.float64]
    memory_peak: NDArray[np.float64]
    fits: NDArray[np.bool_]


def predict_batch(
    plan: Plan, splits: Splits, *, profile: Profile | None = None
) -> BatchResult:
    """Return predictions of `plan` under every one of `splits`.

    Args:
        plan: everything that the batch shares: model, batch size, cluster, training,
            recomputation, sequence parallelism; its own split is not used.
        splits: valid splits, such as `all_splits.py` lists.
        profile: constants to price with; the device's own if left out.

    Raises:
        ValueError: the plan divides tokens, experts or states, runs products in chunks,
            or passes in pairs, its blocks are not equal, or its replicas do not agree
            by all-reduce.
    """
    if plan.synchronization.scheme != "all-reduce":
        raise ValueError(f"no closed form for {plan.synchronization.scheme}")
    mesh = plan.parallelism
    if mesh.context * mesh.expert > 1 or mesh.zero:
        problem = "the batch engine divides neither tokens, nor experts, nor states"
        raise ValueError(problem)
    if mesh.async_tensor:
        raise ValueError("the batch engine does not price async_tensor")
    if mesh.overlap_passes:
        raise ValueError("the batch engine does not price overlap_passes")
    context = Context.of(plan, splits, profile)
    time = np.asarray(passes_time(context) + ending_time(context))
    peak = np.asarray(peak_memory(context))
    return BatchResult(time, peak, peak <= context.pricer.cluster.device.memory)
