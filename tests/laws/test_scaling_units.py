"""What a faster machine does: twice as fast, half the time; faster, never slower."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run
from simulator.job import prepare
from tests.laws.small_plans import on_machine, plan, plans, rescaled, step_time

TWICE_AS_FAST = {"s": 0.5, "B": 1.0, "FLOP": 1.0}


def twice_as_fast(record):
    """Rates in FLOP/s and B/s doubled, every time constant halved, by annotation."""
    return rescaled(record, type(record), TWICE_AS_FAST)


def test_twice_as_fast_doubles_rates_and_halves_times():
    job = prepare(plan(data=2))
    fast = on_machine(plan(data=2), twice_as_fast)
    old, new = job.cluster, fast.cluster
    assert new.device.memory_bandwidth == 2 * old.device.memory_bandwidth
    assert new.device.peak["fp16"] == 2 * old.device.peak["fp16"]
    assert new.device.memory == old.device.memory
    assert new.network.bandwidth == 2 * old.network.bandwidth
    assert new.network.latency == old.network.latency / 2
    assert fast.profile.kernel_time == job.profile.kernel_time / 2
    assert fast.profile.matrix_efficiency == job.profile.matrix_efficiency
    for name, fit in job.profile.links.items():
        assert fast.profile.links[name].hop == fit.hop / 2


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_every_rate_doubled_and_every_latency_halved_halves_the_step(small):
    slow, fast = prepare(small), on_machine(small, twice_as_fast)
    # Powers of two: not a bit is lost.
    assert 2 * step_time(fast) == step_time(slow)
    halves = (2 * span.end for span in run(fast, "event").spans)
    wholes = [span.end for span in run(slow, "event").spans]
    assert list(halves) == pytest.approx(wholes, rel=1e-12)


FASTER = {
    "peak": lambda c, p, x: (_device(c, peak=_all(c.device.peak, x)), p),
    "memory": lambda c, p, x: (
        _device(c, memory_bandwidth=x * c.device.memory_bandwidth),
        p,
    ),
    "fabric": lambda c, p, x: (_link(c, "fabric", x), p),
    "network": lambda c, p, x: (_link(c, "network", x), p),
    "kernel": lambda c, p, x: (c, replace(p, kernel_time=p.kernel_time / x)),
    "forward host": lambda c, p, x: (c, replace(p, host_forward=p.host_forward / x)),
    "backward host": lambda c, p, x: (c, replace(p, host_backward=p.host_backward / x)),
    "message host": lambda c, p, x: (c, replace(p, host_message=p.host_message / x)),
    "pass host": lambda c, p, x: (c, replace(p, host_pass=p.host_pass / x)),
    "step host": lambda c, p, x: (c, replace(p, host_step=p.host_step / x)),
    "hop": lambda c, p, x: (c, _fits(p, "hop", x)),
    "start": lambda c, p, x: (c, _fits(p, "start", x)),
    "transfer": lambda c, p, x: (c, _fits(p, "transfer", x)),
}


def _all(mapping, factor):
    return {key: factor * value for key, value in mapping.items()}


def _device(cluster, **changes):
    return replace(cluster, device=replace(cluster.device, **changes))


def _link(cluster, name, factor):
    link = getattr(cluster, name)
    return replace(cluster, **{name: replace(link, bandwidth=factor * link.bandwidth)})


def _fits(profile, key, factor):
    links = {
        name: replace(fit, **{key: getattr(fit, key) / factor})
        for name, fit in profile.links.items()
    }
    return replace(profile, links=links)


@given(plans(), st.sampled_from(sorted(FASTER)), st.floats(1, 100))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_a_faster_part_never_hurts_the_analytical_engine(small, part, factor):
    job = prepare(small)
    cluster, profile = FASTER[part](job.cluster, job.profile, factor)
    records = {type(job.cluster): cluster, type(job.profile): profile}
    fast = on_machine(small, lambda record: records[type(record)])
    # faster part  =>  no op is longer  =>  no path is longer; up to rounding
    assert step_time(fast) <= step_time(job) * (1 + 1e-12)
