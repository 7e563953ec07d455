"""The graph that both engines read, and what happens when it has a cycle."""

import pytest

from simulator.engines.event import simulate_events
from simulator.engines.graph import DeadlockError, build_graph, raise_deadlock
from simulator.engines.longest_path import longest_path
from simulator.pricing.price import kernel
from simulator.workload import Body, Op, Role, Workload

BODY = Body("body", "message", ())
PRICES = {BODY: kernel(1.0, 0.0)}
TWO_RANKS = (Role(0, 0, 0, 1), Role(0, 1, 0, 1))


def op(name, ranks, stream="compute", after=(), *, host_waits=False):
    return Op(name, ranks, stream, BODY, after, host_waits)


def workload(*ops):
    return Workload(TWO_RANKS, ops)


def test_streams_become_edges():
    graph = build_graph(
        workload(
            op("a", (0,)),
            op("b", (0,), "data"),
            op("c", (0,)),
            op("d", (0, 1)),
            op("e", (1,), after=(1,)),
        ),
        PRICES,
    )
    assert graph.successors == [[2], [4], [3], [4], []]
    assert graph.num_before == [0, 0, 1, 1, 2]
    assert graph.programs == [[0, 1, 2, 3], [3, 4]]
    assert graph.busy == [1.0] * 5


def test_an_edge_that_is_there_twice_counts_once():
    graph = build_graph(workload(op("a", (0,)), op("b", (0,), after=(0,))), PRICES)
    assert graph.num_before == [0, 1]


@pytest.mark.parametrize("engine", [longest_path, simulate_events])
def test_what_waits_for_itself_never_ends(engine):
    cycle = workload(op("a", (0,), after=(1,)), op("b", (1,), after=(0,)))
    assert engine(build_graph(cycle, PRICES)).end == [-1.0, -1.0]


@pytest.mark.parametrize("engine", [longest_path, simulate_events])
def test_two_hosts_that_wait_for_each_other_deadlock(engine):
    # Each rank posts its blocking receive before the send that the other waits for.
    stuck = workload(
        op("receive 0", (0,), "send-forward", (3,), host_waits=True),
        op("send 0", (0,), "data"),
        op("receive 1", (1,), "send-forward", (1,), host_waits=True),
        op("send 1", (1,), "data"),
    )
    times = engine(build_graph(stuck, PRICES))
    assert times.end == [-1.0] * 4
    with pytest.raises(DeadlockError, match="4 ops can never start") as caught:
        raise_deadlock(stuck, times.end)
    assert str(caught.value).endswith("receive 0, send 0, receive 1, send 1")
