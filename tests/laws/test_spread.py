"""What holds of every plan whose tokens and experts are spread over devices."""

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run, simulate
from simulator.job import prepare
from simulator.plan import Plan
from simulator.results.metrics import breakdown
from tests.laws.small_plans import on_machine, rescaled, step_time, table
from tests.laws.spread_plans import EXPERTS, sent, spread, spread_plans

ROUNDING = 1e-9  # the sums are the same, in another order


@given(spread_plans())
@settings(derandomize=True, deadline=None, max_examples=50)
def test_event_engine_equals_analytical(small):
    job = prepare(small)
    analytical, event = run(job, "analytical"), run(job, "event")
    for one, other in zip(analytical.spans, event.spans, strict=True):
        assert other.end == pytest.approx(one.end, rel=ROUNDING)


@given(spread_plans(max_degree=2))
@settings(derandomize=True, deadline=None, max_examples=12)
def test_folding_changes_nothing(small):
    folded, unfolded = prepare(small), prepare(small, is_folded=False)
    assert len(unfolded.workload.roles) == small.world_size
    one, other = run(folded, "analytical"), run(unfolded, "analytical")
    assert other.step_time == pytest.approx(one.step_time, rel=ROUNDING)
    parts, expected = asdict(breakdown(other)), asdict(breakdown(one))
    for each in (parts, expected):
        # Beside messages a late host and a late message cannot be told apart.
        each["exposed_communication_s"] += each.pop("host_s")
    for part, seconds in expected.items():
        assert parts[part] == pytest.approx(seconds, abs=ROUNDING * one.step_time)
    assert sent(small) == sent(small, is_folded=False)


def twice_as_fast(record):
    """Rates doubled and time constants halved, by annotation."""
    return rescaled(record, type(record), {"s": 0.5, "B": 1.0, "FLOP": 1.0})


@given(spread_plans(max_degree=2))
@settings(derandomize=True, deadline=None, max_examples=20)
def test_every_rate_doubled_and_every_latency_halved_halves_the_step(small):
    # Powers of two: not a bit is lost.
    assert 2 * step_time(on_machine(small, twice_as_fast)) == step_time(prepare(small))


@pytest.mark.parametrize(
    ("schedule", "chunks"),
    [
        ("gpipe", 1),
        ("1f1b", 1),
        ("interleaved", 2),
        ("zb-h1", 1),
        ("zb-h2", 1),
        ("zb-v", 2),
        ("zb-auto", 1),
        ("dualpipe", 2),
    ],
)
def test_every_schedule_sends_the_same_around_attention_and_experts(schedule, chunks):
    """Four stages, one block each, whatever the schedule calls them."""
    plan = spread(
        context=2,
        data=2,
        expert=2,
        pipeline=4 if chunks == 1 else 2,
        chunks=2 if schedule == "interleaved" else 1,
        schedule=schedule,
        layers=4,
        microbatches=4,
        experts=EXPERTS,
    )
    job = prepare(plan)
    times = [run(job, engine).step_time for engine in ("analytical", "event")]
    assert times[1] == pytest.approx(times[0], rel=ROUNDING)
    plain = sent(
        spread(context=2, data=2, expert=2, layers=4, microbatches=4, experts=EXPERTS)
    )
    for row in (("all-to-all", "expert"), ("neighbour-exchange", "context")):
        assert sent(plan)[row] == plain[row]


@given(
    st.sampled_from([{"context": 4}, {"data": 2, "context": 2, "expert": 4}]),
    st.sampled_from(["ring", "all-gather"]),
    st.sampled_from(["analytical", "event"]),
)
@settings(derandomize=True, deadline=None, max_examples=8)
def test_a_star_is_a_switch(choices, method, engine):
    plan = spread(per_node=1, method=method, experts=EXPERTS, hidden=512, **choices)
    star = plan.replace({"cluster.network.topology": "star"})
    times = [simulate(each, engine=engine).step_time_s for each in (plan, star)]
    assert times[1] == pytest.approx(times[0], rel=ROUNDING)


@pytest.mark.parametrize("turn", [1, 3])
def test_turning_a_ring_of_nodes_changes_nothing(turn):
    plan = spread(per_node=1, context=2, data=2, expert=4, experts=EXPERTS)
    ring = plan.replace({"cluster.network.topology": "ring"})
    turned = ring.replace(
        {"synchronization.ring_order": [(n + turn) % 4 for n in range(4)]}
    )
    times = [simulate(each, engine="event").step_time_s for each in (ring, turned)]
    assert times[1] == pytest.approx(times[0], rel=ROUNDING)


def test_degrees_of_one_change_nothing():
    plain = table(data=2, layers=2, microbatches=3)
    tables = table(data=2, layers=2, microbatches=3)
    tables["parallelism"] |= {
        "context": 1,
        "context_method": "all-gather",
        "context_balanced": False,
        "expert": 1,
    }
    one, other = Plan.from_mapping(plain), Plan.from_mapping(tables)
    assert sent(one) == sent(other)
    times = [run(prepare(each), "analytical").step_time for each in (one, other)]
    assert times[0] == times[1]


def test_a_step_is_longer_where_pieces_or_experts_are_uneven():
    even, uneven = (
        run(prepare(plan), "analytical").step_time
        for plan in (
            spread(context=4, hidden=4096, length=8192, microbatches=1, per_node=4),
            spread(
                context=4,
                balanced=False,
                hidden=4096,
                length=8192,
                microbatches=1,
                per_node=4,
            ),
        )
    )
    assert uneven > 1.05 * even
    loads = [
        run(
            prepare(
                spread(
                    data=4,
                    expert=4,
                    imbalance=imbalance,
                    experts=EXPERTS,
                    hidden=4096,
                    length=4096,
                    microbatches=1,
                )
            ),
            "analytical",
        ).step_time
        for imbalance in (1.0, 1.5)
    ]
    assert loads[1] > 1.02 * loads[0]
