"""Hand-sized runs of both engines, and how many events one of them makes."""

import pytest
import simpy

from simulator.engines import event
from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.job import prepare
from simulator.pricing.price import kernel
from simulator.workload import Body, Op, Role, Workload
from tests.laws.small_plans import plan

ENGINES = pytest.mark.parametrize("engine", [longest_path, simulate_events])


def times(engine, *rows, ranks=1):
    """Ready and end times of ops given as (ranks, stream, busy, host, after, waits)."""
    bodies = [Body(str(i), "message", ()) for i in range(len(rows))]
    prices = {
        body: kernel(busy, host)
        for body, (_, _, busy, host, _, _) in zip(bodies, rows, strict=True)
    }
    ops = tuple(
        Op(str(i), on, stream, body, after, waits)
        for i, (body, (on, stream, _, _, after, waits)) in enumerate(
            zip(bodies, rows, strict=True)
        )
    )
    roles = tuple(Role(0, rank, 0, 1) for rank in range(ranks))
    answer = engine(build_graph(Workload(roles, ops), prices))
    return answer.ready, answer.end


@ENGINES
def test_a_slow_host_delays_the_device(engine):
    kernels = [((0,), "compute", 1.0, 3.0, (), False)] * 3
    assert times(engine, *kernels) == ([0.0, 4.0, 7.0], [4.0, 7.0, 10.0])


@ENGINES
def test_a_slow_device_hides_the_host(engine):
    kernels = [((0,), "compute", 3.0, 1.0, (), False)] * 3
    assert times(engine, *kernels) == ([0.0, 4.0, 7.0], [4.0, 7.0, 10.0])


@ENGINES
def test_streams_overlap(engine):
    assert times(
        engine,
        ((0,), "compute", 5.0, 0.0, (), False),
        ((0,), "data", 4.0, 0.0, (), False),
        ((0,), "compute", 1.0, 0.0, (1,), False),
    ) == ([0.0, 0.0, 5.0], [5.0, 4.0, 6.0])


@ENGINES
def test_a_host_that_waits_issues_late(engine):
    # Without waiting it would have been issued long ago: 5 + 1; with it, 5 + 2 + 1.
    first = ((0,), "compute", 5.0, 0.0, (), False)
    assert times(engine, first, ((0,), "compute", 1.0, 2.0, (), False))[1] == [5.0, 6.0]
    assert times(engine, first, ((0,), "compute", 1.0, 2.0, (), True))[1] == [5.0, 8.0]


@ENGINES
def test_what_is_behind_a_waiting_host_is_ready_but_not_issued(engine):
    assert times(
        engine,
        ((0,), "compute", 5.0, 0.0, (), False),
        ((0,), "compute", 1.0, 2.0, (), True),
        ((0,), "data", 1.0, 1.0, (), False),
    ) == ([0.0, 5.0, 0.0], [5.0, 8.0, 9.0])


@ENGINES
def test_joint_ops_start_with_the_last_rank(engine):
    assert times(
        engine,
        ((0,), "compute", 2.0, 0.0, (), False),
        ((1,), "compute", 7.0, 0.0, (), False),
        ((0, 1), "compute", 1.0, 0.0, (), False),
        ((0,), "compute", 1.0, 0.0, (), False),
        ranks=2,
    ) == ([0.0, 0.0, 7.0, 8.0], [2.0, 7.0, 8.0, 9.0])


@pytest.mark.parametrize("is_folded", [True, False])
def test_the_event_engine_makes_one_timeout_per_op(monkeypatch, is_folded):
    job = prepare(plan(tensor=2, pipeline=2, data=2, overlap=True), is_folded=is_folded)
    made = []

    class Counted(simpy.Timeout):
        def __init__(self, *arguments):
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(event.simpy, "Timeout", Counted)
    simulate_events(build_graph(job.workload, job.prices))
    assert len(made) == len(job.workload.ops)
