"""Three answers to one question: longest path, event engine, slow reference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.job import prepare
from simulator.pricing.price import kernel
from simulator.workload import Body, Op, Role, Workload
from tests.laws.small_plans import plans
from tests.oracles.reference import simulate

STREAMS = ["compute", "data", "send-forward"]
times = st.integers(0, 40).map(lambda quarter: quarter / 4)


@st.composite
def workloads(draw, *, may_deadlock=False):
    """Random ops on up to three ranks: joint ones, several streams, waiting hosts.

    `after` names earlier ops, which cannot deadlock, or any, which can.
    """
    num_ranks = draw(st.integers(1, 3))
    num_ops = draw(st.integers(1, 12))
    bodies = [Body(f"body {i}", "message", ()) for i in range(draw(st.integers(1, 4)))]
    prices = {body: draw(runs()) for body in bodies}
    ops = []
    for i in range(num_ops):
        others = st.sampled_from([j for j in range(num_ops) if j < i or may_deadlock])
        ranks = st.sets(st.integers(0, num_ranks - 1), min_size=1)
        after = draw(st.sets(others, max_size=3)) if i or may_deadlock else set()
        ops.append(
            Op(
                f"op {i}",
                tuple(sorted(draw(ranks))),
                draw(st.sampled_from(STREAMS)),
                draw(st.sampled_from(bodies)),
                tuple(sorted(after - {i})),
                draw(st.booleans()),
            )
        )
    roles = tuple(Role(0, rank, 0, 1) for rank in range(num_ranks))
    return Workload(roles, tuple(ops)), prices


@st.composite
def runs(draw):
    """Prices as they come: of one kernel, or of a few in a row."""
    kernels = draw(st.lists(st.builds(kernel, times, times), min_size=1, max_size=3))
    total = kernels[0]
    for each in kernels[1:]:
        total = total.then(each)
    return total


def three_answers(workload, prices):
    graph = build_graph(workload, prices)
    stuck = -1.0
    slow = [stuck if end is None else end for end in simulate(workload, prices)]
    return slow, longest_path(graph).end, simulate_events(graph).end


def assert_equal(slow, path, events):
    # The three add the same numbers in different orders.
    assert path == pytest.approx(slow, rel=1e-9)
    assert events == pytest.approx(slow, rel=1e-9)


@given(workloads())
@settings(derandomize=True, deadline=None, max_examples=400)
def test_engines_equal_the_reference_on_random_workloads(case):
    slow, path, events = three_answers(*case)
    assert min(slow) >= 0
    assert_equal(slow, path, events)


@given(workloads(may_deadlock=True))
@settings(derandomize=True, deadline=None, max_examples=400)
def test_engines_are_stuck_where_the_reference_is(case):
    assert_equal(*three_answers(*case))


@given(workloads())
@settings(derandomize=True, deadline=None, max_examples=100)
def test_both_engines_agree_on_when_ops_are_ready(case):
    graph = build_graph(*case)
    path, events = longest_path(graph).ready, simulate_events(graph).ready
    assert events == pytest.approx(path, rel=1e-9)


@given(plans(max_degree=3, max_microbatches=3), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_engines_equal_the_reference_on_random_plans(plan, is_folded):
    is_small = plan.world_size <= 4 and plan.num_microbatches <= 2
    job = prepare(plan, is_folded=is_folded or not is_small)
    assert_equal(*three_answers(job.workload, job.prices))


def test_the_reference_on_paper():
    # Two ranks; a kernel of 3 s, which the host issues in 1 s, then a message of both
    # of 2 s, which it issues in nothing: rank 0 is done at 1 + 3 = 4, rank 1 at 3 + 3.
    fast, slow = Body("fast", "message", ()), Body("slow", "message", ())
    both = Body("both", "message", ())
    prices = {fast: kernel(3.0, 1.0), slow: kernel(3.0, 3.0), both: kernel(2.0, 0.0)}
    ops = (
        Op("a", (0,), "compute", fast, (), False),
        Op("b", (1,), "compute", slow, (), False),
        Op("c", (0, 1), "compute", both, (), False),
        Op("d", (0,), "compute", fast, (), False),
        Op("e", (1,), "data", fast, (), True),
        Op("f", (1,), "compute", fast, (2,), True),
    )
    workload = Workload((Role(0, 0, 0, 1), Role(0, 1, 0, 1)), ops)
    # c waits for both: 6 + 2 = 8; d is issued long before: 8 + 3 = 11; e is on a
    # stream of its own and starts when the host is free, 3: 3 + (1 + 3) = 7; the
    # host of f waits for c: 8 + (1 + 3) = 12.
    assert simulate(workload, prices) == [4.0, 6.0, 8.0, 11.0, 7.0, 12.0]
