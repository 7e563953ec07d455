"""Divided states: one answer in all engines, folded or not; when units are gathered."""

import tomllib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run
from simulator.job import prepare
from simulator.plan import Plan
from simulator.results.metrics import breakdown
from tests.laws.small_plans import REMATERIALIZE, plan, slowed_profile
from tests.laws.test_folding import assert_folding_changes_nothing
from tests.oracles.reference import simulate

ROUNDING = 1e-9


@st.composite
def sharded_plans(draw):
    """Plans of all stages of ZeRO, with pipelines, tensor ranks and hybrid groups."""
    tensor, pipeline = draw(st.sampled_from([1, 2])), draw(st.integers(1, 3))
    data, shard = draw(st.sampled_from([(2, 2), (3, 3), (4, 2), (4, 1), (6, 2)]))
    several = ["interleaved", "zb-h1", "zb-v", "dualpipe"]
    schedule = draw(st.sampled_from(["1f1b", "gpipe"] + several * (pipeline > 1)))
    if schedule == "dualpipe":
        pipeline = 2
    is_interleaved = schedule == "interleaved"
    microbatches = draw(st.integers(1, 4))
    if is_interleaved or schedule in {"zb-v", "dualpipe"}:
        microbatches = 2 * pipeline
    small = plan(
        tensor=tensor,
        pipeline=pipeline,
        data=data,
        schedule=schedule,
        chunks=2 if is_interleaved else 1,
        microbatches=microbatches,
        layers=pipeline * 2 * draw(st.integers(1, 2)),
        hidden=draw(st.sampled_from([64, 1024])),
        length=draw(st.sampled_from([16, 512])),
        sequence=tensor > 1 and draw(st.booleans()),
        recompute=draw(st.sampled_from(REMATERIALIZE)),
        overlap=draw(st.booleans()),
        bucket=draw(st.sampled_from(["40 kB", "2 MB"])),
        per_node=draw(st.sampled_from([1, tensor * data])),
    )
    zero = draw(st.integers(1, 3))
    own: dict = {"match": "block", "blocks": draw(st.sampled_from(["::2", "1:"]))}
    own["zero"] = draw(st.integers(0, zero))
    if own["zero"] == 3:
        own["reshard"] = draw(st.booleans())
    return small.replace(
        {
            "parallelism.zero": zero,
            "parallelism.shard": shard,
            "parallelism.prefetch": draw(st.integers(0, 3)) if zero == 3 else 1,
            "parallelism.reshard": zero < 3 or draw(st.booleans()),
            "parallelism.overlap_gather": zero < 3 and draw(st.booleans()),
            "parallelism.reduce_each": zero > 1 and draw(st.booleans()),
            "parallelism.layers": [own] if draw(st.booleans()) else [],
        }
    )


@given(sharded_plans())
@settings(derandomize=True, deadline=None, max_examples=100, database=None)
def test_engines_agree_where_states_are_divided(small):
    job = prepare(small)
    analytical, event = run(job, "analytical"), run(job, "event")
    for one, other in zip(analytical.spans, event.spans, strict=True):
        assert other.start == pytest.approx(one.start, rel=ROUNDING)
        assert other.end == pytest.approx(one.end, rel=ROUNDING)


@given(sharded_plans())
@settings(derandomize=True, deadline=None, max_examples=25, database=None)
def test_a_slow_obvious_simulator_agrees_where_states_are_divided(small):
    job = prepare(small, profile=slowed_profile(small))
    ends = simulate(job.workload, job.prices)
    assert run(job, "event").step_time == pytest.approx(max(ends), rel=ROUNDING)


@given(sharded_plans())
@settings(derandomize=True, deadline=None, max_examples=25, database=None)
def test_folding_changes_nothing_where_states_are_divided(small):
    assert_folding_changes_nothing(small)


@given(sharded_plans())
@settings(derandomize=True, deadline=None, max_examples=30, database=None)
def test_a_dumped_plan_that_divides_states_loads_as_the_same(small):
    assert Plan.from_mapping(tomllib.loads(small.dump())) == small


def spans_of(small, stream):
    """The spans of a stream on the first rank, in order."""
    spans = run(prepare(small), "event").spans
    return [span for span in spans if span.rank == 0 and span.stream == stream]


def fully_sharded(**changes):
    """FSDP of 6 blocks over 8 nodes, whose gathers take longer than their kernels."""
    small = plan(data=8, layers=6, microbatches=1, hidden=1024, per_node=1)
    keys = {f"parallelism.{key}": value for key, value in changes.items()}
    return small.replace({"parallelism.zero": 3, **keys})


@pytest.mark.parametrize("prefetch", [0, 1, 2])
def test_units_are_gathered_no_further_ahead_than_said(prefetch):
    # One gather a visit, but for that of the root, which stays for its backward: two
    # at the turn of the step, and the embedding's at its end.
    small = fully_sharded(prefetch=prefetch)
    visits = [span for span in spans_of(small, "compute") if span.op.name[1] in "FB"]
    gathers = spans_of(small, "gather")
    ends = {id(span.op): span.end for span in visits}
    assert len(visits) == 2 * 8
    assert len(gathers) == 1 + 2 * 6
    needing = [*range(7), *range(9, 15)]
    for place, gather in zip(needing, gathers, strict=True):
        assert gather.end <= visits[place].start + 1e-12
        if place > prefetch:
            before = visits[place - prefetch - 1]
            assert gather.start >= ends[id(before.op)] - 1e-12


def test_prefetch_hides_gathers_under_compute():
    none, one = (run(prepare(fully_sharded(prefetch=k)), "event") for k in (0, 1))
    assert one.step_time < none.step_time


def test_gathers_and_reductions_take_turns_on_their_communicator():
    small = fully_sharded()
    both = [*spans_of(small, "gather"), *spans_of(small, "reduce")]
    both.sort(key=lambda span: (span.start, span.end))
    for one, other in pairwise(both):
        assert other.start >= one.end - 1e-12


def test_where_compute_is_long_only_the_ends_of_the_passes_are_exposed():
    # All hides but, in the forward, the gather of the root, and that of the first block
    # beyond the kernels of the embedding, which the host issues before it; in the
    # backward, the first gather beyond the kernels of the head, which stayed; the last
    # two reductions beyond the kernels of the embedding; and the norm.
    small = plan(
        data=8, layers=6, microbatches=1, micro=8, hidden=2048, length=512, overlap=True
    ).replace({"parallelism.zero": 3})
    job = prepare(small, profile=slowed_profile(small))
    named = {op.body.name: job.prices[op.body] for op in job.workload.ops}
    passes = [op for op in job.workload.ops if op.stream == "compute"]
    first, head, last = (job.prices[passes[place].body] for place in (0, 8, 15))
    block = named["gather block"]
    exposed = (
        named["gather root"].issued
        + (first.host + block.issued - first.issued)
        + (block.busy - head.busy)
        + (named["reduce-scatter block"].busy - last.busy)
        + named["reduce-scatter root"].busy
        + named["norm of parts"].busy
    )
    parts = breakdown(run(job, "event"))
    assert parts.exposed_communication_s == pytest.approx(exposed, rel=ROUNDING)


def test_parameters_that_are_gathered_in_the_next_forward_delay_it_less():
    small = plan(data=8, layers=6, hidden=1024, per_node=1, overlap=True)
    late = small.replace({"parallelism.zero": 1})
    early = late.replace({"parallelism.overlap_gather": True})
    times = [run(prepare(each), "event").step_time for each in (early, late)]
    assert times[0] < times[1]


def test_one_replica_divides_nothing():
    small = plan(pipeline=2, microbatches=2)
    same = prepare(small.replace({"parallelism.zero": 3}))
    assert run(same, "event").step_time == run(prepare(small), "event").step_time


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("recompute", REMATERIALIZE)
def test_engines_agree_where_weights_are_gathered_by_themselves(prefetch, recompute):
    small = plan(data=4, layers=3, hidden=1024, length=512, recompute=recompute)
    keys = {"zero": 3, "gather": "weight", "prefetch": prefetch}
    job = prepare(small.replace({f"parallelism.{k}": v for k, v in keys.items()}))
    assert run(job, "analytical").step_time == pytest.approx(
        run(job, "event").step_time, rel=ROUNDING
    )
    by_layer = prepare(small.replace({"parallelism.zero": 3}))
    assert run(job, "event").step_time > run(by_layer, "event").step_time
