"""What holds of every timeline, whichever engine drew it."""

from collections import defaultdict
from dataclasses import asdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run, simulate
from simulator.job import prepare
from simulator.results.metrics import breakdown
from tests.laws.small_plans import plans

ENGINES = st.sampled_from(["analytical", "event"])


@given(plans(), ENGINES)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_parts_add_up_to_the_step(small, engine):
    result = simulate(small, engine=engine)
    parts = asdict(result.breakdown)
    margin = 1e-9 * result.step_time_s
    assert result.breakdown.total == pytest.approx(result.step_time_s, rel=1e-12)
    assert min(parts.values()) >= -margin
    # Nothing is left unexplained: idle or busy is all a device can be.
    assert parts["other_s"] == pytest.approx(0, abs=margin)


@given(plans(), ENGINES)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_compute_is_the_kernels_of_all_devices(small, engine):
    job = prepare(small)
    parts = breakdown(run(job, engine))
    roles = job.workload.roles
    total = sum(
        float(job.prices[op.body].compute) * roles[rank].multiplicity
        for op in job.workload.ops
        for rank in op.ranks
        if op.stream == "compute"
    )
    assert parts.compute_s == pytest.approx(total / small.world_size, rel=1e-9)


@given(plans(max_degree=3), ENGINES, st.booleans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_spans_of_a_stream_do_not_overlap(small, engine, is_folded):
    timeline = run(prepare(small, is_folded=is_folded), engine)
    streams = defaultdict(list)
    for span in timeline.spans:
        streams[span.rank, span.stream].append(span)
    for spans in streams.values():
        for before, after in pairwise(spans):
            assert before.start <= before.end <= after.start <= after.end


@given(plans(max_degree=3), ENGINES, st.booleans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_no_span_starts_before_its_dependencies_end(small, engine, is_folded):
    job = prepare(small, is_folded=is_folded)
    timeline = run(job, engine)
    end = {id(span.op): span.end for span in timeline.spans}
    for span in timeline.spans:
        for other in span.op.after:
            assert end[id(job.workload.ops[other])] <= span.start


@given(plans(), ENGINES)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_no_span_is_shorter_than_its_work(small, engine):
    timeline = run(prepare(small), engine)
    for span in timeline.spans:
        busy = span.compute + span.communication
        assert span.end - span.start >= busy - 1e-9 * timeline.step_time
    assert timeline.step_time == max(span.end for span in timeline.spans)
