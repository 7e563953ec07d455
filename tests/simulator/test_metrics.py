"""Where the time of hand-drawn timelines goes."""

import pytest

from simulator.mesh import Degrees
from simulator.results.metrics import Breakdown, breakdown, ledger
from simulator.results.timeline import Span, Timeline
from simulator.workload import Body, Message, Op, Repeat, Role, Workload

BODY = Body("body", "message", ())
ONE = (Role(0, 0, 0, 1),)


def span(stream, start, end, *, rank=0, compute=None, communication=0.0):
    """A span that computes all the time, unless it is said how long."""
    op = Op(stream, (rank,), stream, BODY, (), host_waits=False)
    length = end - start - communication
    if stream != "compute":
        length, communication = 0.0, end - start
    busy = length if compute is None else compute
    return Span(op, rank, start, end, busy, communication)


def parts(step_time, *spans, roles=ONE):
    return breakdown(Timeline(roles, spans, step_time, (0.0,) * len(roles)))


def test_kernels_are_compute():
    assert parts(5.0, span("compute", 0.0, 5.0)) == Breakdown(5.0, 0, 0, 0, 0, 0)


def test_messages_among_the_kernels_are_exposed():
    answer = parts(5.0, span("compute", 0.0, 5.0, communication=2.0))
    assert answer == Breakdown(3.0, 2.0, 0, 0, 0, 0)


def test_a_device_that_waits_for_its_host():
    answer = parts(5.0, span("compute", 0.0, 5.0, compute=1.0))
    assert answer == Breakdown(1.0, 0, 0, 0, 4.0, 0)


def test_idle_time_under_a_message_is_exposed_and_the_rest_a_bubble():
    # Idle from 2 to 8, a message from 1 to 5: 3 exposed, 3 bubble.
    answer = parts(
        9.0,
        span("compute", 0.0, 2.0),
        span("data", 1.0, 5.0),
        span("compute", 8.0, 9.0),
    )
    assert answer == Breakdown(3.0, 3.0, 3.0, 0, 0, 0)


def test_messages_that_overlap_each_other_count_once():
    answer = parts(
        9.0,
        span("compute", 0.0, 2.0),
        span("data", 1.0, 5.0),
        span("send-forward", 3.0, 6.0),
        span("send-backward", 4.0, 4.5),
        span("compute", 8.0, 9.0),
    )
    assert answer == Breakdown(3.0, 4.0, 2.0, 0, 0, 0)


def test_hidden_messages_cost_nothing():
    answer = parts(5.0, span("compute", 0.0, 5.0), span("data", 1.0, 4.0))
    assert answer == Breakdown(5.0, 0, 0, 0, 0, 0)


def test_waiting_at_the_end_is_synchronization_but_for_own_messages():
    answer = parts(9.0, span("compute", 0.0, 2.0), span("data", 2.0, 5.0))
    assert answer == Breakdown(2.0, 3.0, 0, 4.0, 0, 0)


def test_parts_are_averaged_over_real_devices():
    roles = (Role(0, 0, 0, 3), Role(0, 1, 0, 1))
    answer = parts(
        4.0, span("compute", 0.0, 4.0), span("compute", 0.0, 2.0, rank=1), roles=roles
    )
    assert answer == Breakdown((3 * 4.0 + 2.0) / 4, 0, 0, 2.0 / 4, 0, 0)
    assert answer.total == pytest.approx(4.0)


def test_a_ledger_counts_each_group_once():
    sum_ = Message("sum", "all-reduce", "tensor", 8.0)
    gradients = Message("gradients", "all-reduce", "data", 16.0)
    send = Message("send", "send", "pipeline", 2.0)
    sums = Repeat((sum_, Repeat((sum_,), 2)), 3)
    body = Body("body", "forward", (sums, gradients, send))
    ops = tuple(Op("op", (0,), "compute", body, (), host_waits=False) for _ in range(5))
    rows = ledger(
        Workload((Role(0, 0, 0, 8),), ops), Degrees(tensor=4, data=2, pipeline=1)
    )
    # 8 devices: 2 groups of 4 tensor ranks, 4 groups of 2 replicas, 8 senders.
    assert {(row.op, row.axis): (row.bytes, row.count) for row in rows} == {
        ("all-reduce", "tensor"): (5 * 9 * 2 * 8.0, 5 * 9 * 2),
        ("all-reduce", "data"): (5 * 4 * 16.0, 5 * 4),
        ("send", "pipeline"): (5 * 8 * 2.0, 5 * 8),
    }
