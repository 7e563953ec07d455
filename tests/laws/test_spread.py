"""What holds of every plan whose tokens and experts are spread over devices."""

from dataclasses import asdict

import pytest
from hypothesis import given, settings

from simulator.api import run
from simulator.job import prepare
from simulator.metrics import breakdown
from simulator.plan import Plan
from tests.laws.small_plans import table
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
@settings(derandomize=True, deadline=None, max_examples=20)
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
