"""Messages slow the kernels beside them: both engines, on paper and by law."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run, simulate
from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.job import prepare
from simulator.pricing.price import kernel, message
from simulator.workload import Body, Op, Role, Workload
from tests.laws.small_plans import meshes, networked, plan, plans, slowed_profile

ENGINES = pytest.mark.parametrize("engine", [longest_path, simulate_events])
ROUNDING = 1e-9  # sums in another order, and a fixed point to 1e-13 of the step
times = st.floats(0.01, 10.0)
slowdowns = st.floats(0.0, 3.0)


def slowed(small, slowdown, *, is_folded=True, **constants):
    """The job of a plan on a device whose messages slow its kernels."""
    profile = slowed_profile(small, slowdown, **constants)
    return prepare(small, profile=profile, is_folded=is_folded)


def run_ops(engine, slowdown, *rows):
    """Times of ops, each given as (stream, price, after), or with its rank first."""
    bodies = [Body(str(i), "message", ()) for i in range(len(rows))]
    full = [row if len(row) == 4 else (0, *row) for row in rows]
    prices = {body: row[2] for body, row in zip(bodies, full, strict=True)}
    ops = tuple(
        Op(str(i), (rank,), stream, body, after, False)
        for i, (body, (rank, stream, _, after)) in enumerate(
            zip(bodies, full, strict=True)
        )
    )
    roles = tuple(Role(0, rank, 0, 1) for rank in range(3))
    return engine(build_graph(Workload(roles, ops), prices, slowdown))


@ENGINES
@given(c=times, m=times, slowdown=slowdowns)
@settings(derandomize=True, deadline=None, max_examples=50)
def test_one_kernel_and_one_message_on_paper(engine, c, m, slowdown):
    # Both begin at 0. The kernel does 1 / (1 + k) a second until the message ends: it
    # is through at c (1 + k), if that is before m; else m / (1 + k) is done at m, and
    # the rest takes c - m / (1 + k). Either way c + min(m, c (1 + k)) k / (1 + k).
    rows = (("data", message(m, 0.0), ()), ("compute", kernel(c, 0.0), ()))
    answer = run_ops(engine, slowdown, *rows)
    lost = slowdown / (1 + slowdown)
    end = c + min(m, c * (1 + slowdown)) * lost
    assert pytest.approx([m, end], rel=ROUNDING) == answer.end
    assert answer.slowed.get(1, 0.0) == pytest.approx(end - c, abs=1e-12)
    together = message(m, 0.0).beside(kernel(c, 0.0), slowdown)
    assert together.busy == pytest.approx(max(m, c + m * lost), rel=ROUNDING)
    assert together.busy == pytest.approx(max(m, end), rel=ROUNDING)


@ENGINES
def test_two_messages_at_once_slow_as_one_does(engine):
    # The kernel of 4 s is beside messages during [0, 3]: 1.5 s done, 2.5 s are left.
    sends = [("data", message(2.0, 0.0), ()), ("tensor", message(3.0, 0.0), ())]
    answer = run_ops(engine, 1.0, *sends, ("compute", kernel(4.0, 0.0), ()))
    assert answer.end == [2.0, 3.0, 5.5]


@ENGINES
def test_a_message_amid_a_kernel_slows_its_middle(engine):
    # The message runs in [1, 3], in which the second kernel, of 5 s from 1, does 1 s.
    answer = run_ops(
        engine,
        1.0,
        ("compute", kernel(1.0, 0.0), ()),
        ("data", message(2.0, 0.0), (0,)),
        ("compute", kernel(5.0, 0.0), ()),
    )
    assert answer.end == [1.0, 3.0, 7.0]


@ENGINES
def test_messages_on_the_stream_of_kernels_slow_none(engine):
    rows = [("compute", message(2.0, 0.0), ()), ("compute", kernel(4.0, 0.0), ())]
    assert run_ops(engine, 1.0, *rows).end == [2.0, 6.0]


@ENGINES
def test_a_host_that_lags_absorbs_what_kernels_lose(engine):
    # Ten kernels of 1 s, issued every 3 s, end at 31 alone; slowed to half their rate
    # they are busy for 20 s, and the host is still the later one.
    kernels = kernel(1.0, 3.0).repeat(10)
    rows = (("data", message(40.0, 0.0), ()), ("compute", kernels, ()))
    assert run_ops(engine, 1.0, *rows).end == [40.0, 31.0]


@ENGINES
def test_work_that_a_message_of_its_own_slows_is_not_slowed_twice(engine):
    # 4 s of kernels beside 2 s: 1 s done after 2 s, and 3 s more. Another message of
    # 5 s slows those 3 of the 5 s evenly: rate 1 / 1.6, so 3.125 s done after 5 s.
    own = message(2.0, 0.0).beside(kernel(4.0, 0.0), 1.0)
    assert (own.busy, own.compute, own.hidden) == (5.0, 4.0, 1.0)
    rows = (("data", message(5.0, 0.0), ()), ("compute", own, ()))
    assert pytest.approx([5.0, 5.0 + 5.0 - 3.125]) == run_ops(engine, 1.0, *rows).end


@given(plans(), st.floats(0.01, 3.0), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=50)
def test_engines_agree_where_messages_slow_kernels(small, slowdown, has_host):
    hosts = ("host_forward", "host_backward", "host_message", "host_pass")
    job = slowed(small, slowdown, **({} if has_host else dict.fromkeys(hosts, 0.0)))
    analytical, event = run(job, "analytical"), run(job, "event")
    margin = ROUNDING * analytical.step_time
    for one, other in zip(analytical.spans, event.spans, strict=True):
        assert other.end == pytest.approx(one.end, abs=margin)
        assert other.communication == pytest.approx(one.communication, abs=margin)


@given(plans(max_degree=2, max_microbatches=3), st.floats(0.01, 1.0))
@settings(derandomize=True, deadline=None, max_examples=15)
def test_engines_agree_on_every_rank_where_messages_slow_kernels(small, slowdown):
    job = slowed(small, slowdown, is_folded=False)
    one, other = run(job, "analytical").step_time, run(job, "event").step_time
    assert other == pytest.approx(one, rel=ROUNDING)


@given(plans(), st.floats(0.0, 3.0))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_messages_that_slow_kernels_make_no_step_faster(small, slowdown):
    # No op is faster than alone, and the path is monotone in every op's time.
    plain, changed = (run(slowed(small, k), "analytical") for k in (0.0, slowdown))
    assert changed.step_time >= plain.step_time * (1 - ROUNDING)


@ENGINES
def test_a_larger_slowdown_can_make_a_step_faster(engine):
    # An anomaly, and no bug. Rank 1's kernel is beside a message for 2 s, and ends at
    # 3 + 2 k / (1 + k); then rank 0 sends. With k = 0.1 that is at 35 / 11, amid rank
    # 0's kernel of [3, 4], which rank 2 waits for. With k = 1 it is at 4, when rank 0
    # is through, so that rank 2 begins 0.1 of (4 - 35 / 11) earlier.
    rows = (
        (0, "compute", kernel(3.0, 0.0), ()),
        (1, "data", message(2.0, 0.0), ()),
        (1, "compute", kernel(3.0, 0.0), ()),
        (0, "compute", kernel(1.0, 0.0), (0,)),
        (0, "data", message(5.0, 0.0), (2,)),
        (2, "compute", kernel(10.0, 0.0), (3,)),
    )
    ends = [max(run_ops(engine, k, *rows).end) for k in (0.0, 0.1, 1.0)]
    assert pytest.approx([14.0, 14.0 + 0.1 * (4 - 35 / 11), 14.0]) == ends


@given(meshes(), st.floats(0.05, 1.0))
@settings(derandomize=True, deadline=None, max_examples=15)
def test_engines_agree_on_a_network_of_which_messages_have_all(choices, slowdown):
    # Sums over replicas follow one another on one stream, so that no two meet.
    alone = {"tensor": 1, "pipeline": 1, "data": choices["data"] + 1}
    small = networked("ring", **(choices | alone | {"sequence": False}))
    job = slowed(small, slowdown)
    one, other = run(job, "analytical").step_time, run(job, "event").step_time
    assert other == pytest.approx(one, rel=ROUNDING)


def test_parts_of_a_slowed_step_add_up_and_compute_stays_its_own():
    small = plan(data=3, layers=4, hidden=2048, overlap=True, bucket="2 MB")
    plain, changed = (
        simulate(small, profile=slowed_profile(small, k)) for k in (0.0, 0.5)
    )
    assert changed.breakdown.total == pytest.approx(changed.step_time_s, rel=1e-12)
    assert plain.breakdown.compute_s == changed.breakdown.compute_s
    more = changed.breakdown.exposed_communication_s
    assert more > plain.breakdown.exposed_communication_s
    assert plain.ledger == changed.ledger


def test_rounds_that_alternate_end_with_the_slower_of_the_two(monkeypatch):
    # A kernel of 1 s beside a message of 2 s, stretched to 1.25 and 1.5 s in turn.
    turns = itertools.cycle([1.25, 1.5])
    monkeypatch.setattr(
        "simulator.engines.longest_path.stretched",
        lambda *_: [2.0, next(turns)],
    )
    rows = (("data", message(2.0, 0.0), ()), ("compute", kernel(1.0, 0.0), ()))
    assert run_ops(longest_path, 0.5, *rows).end == [2.0, 1.5]
