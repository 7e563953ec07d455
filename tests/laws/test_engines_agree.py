"""Without contention the longest path and the event engine give one answer."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from simulator.api import run, simulate
from simulator.job import prepare
from simulator.plan import Plan
from tests.laws.small_plans import plan, plans

PLANS = [
    path
    for path in sorted((Path(__file__).parents[2] / "plans").glob("*.toml"))
    if "[collective]" not in path.read_text("utf-8")
]

# The event engine reads its times off a clock, the other adds them along paths: the
# sums are the same, in another order.
ROUNDING = 1e-9


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=100)
def test_event_engine_equals_analytical_without_contention(small):
    job = prepare(small)
    analytical, event = run(job, "analytical"), run(job, "event")
    for one, other in zip(analytical.spans, event.spans, strict=True):
        assert (one.op, one.rank) == (other.op, other.rank)
        assert other.start == pytest.approx(one.start, rel=ROUNDING)
        assert other.end == pytest.approx(one.end, rel=ROUNDING)


@given(plans(max_degree=3, max_microbatches=3))
@settings(derandomize=True, deadline=None, max_examples=20)
def test_engines_agree_on_every_rank_written_out(small):
    job = prepare(small, is_folded=False)
    analytical, event = run(job, "analytical"), run(job, "event")
    assert event.step_time == pytest.approx(analytical.step_time, rel=ROUNDING)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_engines_agree_on_the_example_plans(path):
    given_plan = Plan.load(path)
    analytical = simulate(given_plan, engine="analytical").to_json()
    event = simulate(given_plan, engine="event").to_json()
    assert event["ledger"] == analytical["ledger"]
    assert event["memory"] == analytical["memory"]
    step_time = analytical["step_time_s"]
    if given_plan.cluster.has_graph:  # on which messages may be in each other's way
        assert event["step_time_s"] >= step_time * (1 - ROUNDING)
        return
    assert event["step_time_s"] == pytest.approx(step_time, rel=ROUNDING)
    for part, seconds in analytical["breakdown"].items():
        margin = ROUNDING * step_time
        assert event["breakdown"][part] == pytest.approx(seconds, abs=margin)


def test_one_device_takes_the_sum_of_its_parts():
    # One micro-batch on one device: a queue of kernels and nothing to wait for but
    # the host, so the step is the price of everything in a row.
    job = prepare(plan(microbatches=1))
    total = None
    for op in job.workload.ops:
        price = job.prices[op.body]
        total = price if total is None else total.then(price)
    assert run(job, "event").step_time >= total.busy
    waits = [op for op in job.workload.ops if op.host_waits]
    host = sum(float(job.prices[op.body].issued) for op in waits)
    assert run(job, "event").step_time <= total.issued + host
