"""How much of the devices' peak does a step use: FLOP needed, and FLOP executed.

Both over the peak of the plan's number format, on all devices. Where products run in
formats with several peaks (fp8), neither says how well any of them was used.
"""

from __future__ import annotations

from collections import Counter

from models.model import Layer
from models.work import Share
from simulator.job import Job
from simulator.lowering.keeping import BY_OPERATORS, repeated_operators
from simulator.lowering.stopping import read_again, stops
from simulator.plans.layer_choices import recompute_of
from topologies.units import Flop, Ratio, Seconds


def model_flop_utilization(job: Job, step_time: Seconds) -> Ratio:
    """Return MFU: model FLOP (no recomputation) per second over all devices' peak.

    MFU = B (forward + backward FLOP of a sample) / (T · N · peak)

    Source: Chowdhery et al., PaLM, arXiv:2204.02311, appendix B.
    """
    return float(model_flop(job) / (step_time * peak_flop_rate(job)))


def hardware_flop_utilization(job: Job, step_time: Seconds) -> Ratio:
    """Return HFU: executed FLOP per second over all devices' peak.

    HFU = (model FLOP + recomputed forward FLOP) / (T · N · peak)

    Convolutions count as products, whatever algorithm computes them.

    Source: Korthikanti et al., arXiv:2205.05198 (from memory).
    """
    return float(hardware_flop(job) / (step_time * peak_flop_rate(job)))


def peak_flop_rate(job: Job) -> float:
    """Return the peak of all devices in the plan's number format [FLOP/s]."""
    plan = job.plan
    return plan.world_size * job.cluster.device.peak[plan.training.precision]


def model_flop(job: Job) -> Flop:
    """Return the FLOP that a step needs."""
    once = job.model.forward_flop() + job.model.backward_flop()
    return job.plan.batch.global_ * once


def hardware_flop(job: Job) -> Flop:
    """Return the FLOP of a step, recomputed forward passes included.

    For GPT with full recomputation this is 96 B s l h² (1 + s / 6h + V / 16lh).

    Source: Narayanan et al., arXiv:2104.04473, appendix.
    """
    mesh = job.plan.parallelism
    is_stopped = stops(job.plan)
    counts = Counter(job.model.layers)  # equal layers are one object
    repeated = sum(
        count * _repeated_flop(layer, recompute_of(mesh, layer), is_stopped=is_stopped)
        for layer, count in counts.items()
    )
    return model_flop(job) + job.plan.batch.global_ * repeated


def _repeated_flop(layer: Layer, recompute: str, *, is_stopped: bool) -> Flop:
    """Return the FLOP that a layer's backward pass repeats, a sample."""
    if layer.role != "block" or recompute == "none":
        return 0.0
    share = Share(samples=1)
    if recompute in BY_OPERATORS:
        again = repeated_operators(layer, share)
        return sum(work.flop for op, own in again for work in op.forward(own))
    is_full = recompute == "full"
    dropped = [op for op in layer.operators if is_full or op.is_core_attention]
    repeated = read_again(dropped) if is_stopped else dropped
    return sum(work.flop for op in repeated for work in op.forward(share))
