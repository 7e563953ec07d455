"""What would make a plan fit is nearest, and does fit."""

import pytest

from simulator.api import simulate
from simulator.memory.remedy import remedy
from simulator.plan import Plan
from tests.laws.small_plans import table


def large(layers=32, hidden=4096, length=2048, heads=32, micro=1, **choices):
    """A plan of several billion parameters on A100s."""
    keys = {"layers": layers, "hidden": hidden, "length": length, "heads": heads}
    tables = table(**keys, micro=micro, vocabulary=32000, **choices)
    tables["model"]["attention"] = "flash"
    return Plan.from_mapping(tables)


@pytest.mark.parametrize(
    ("choices", "changed"),
    [
        # 16 bytes of 6.7 billion parameters; divided in part, 2 + 2 + 12 / 8 fit.
        ({"data": 8}, {"parallelism.zero"}),
        # One replica has nothing to divide, but activations to drop.
        ({"tensor": 8, "micro": 32}, {"batch.micro"}),
        ({"tensor": 8, "length": 65536}, {"parallelism.recompute"}),
    ],
)
def test_the_nearest_change_is_found_and_fits(choices, changed):
    plan = large(**choices)
    result = simulate(plan, engine="analytical")
    assert result.status == "out_of_memory"
    change, need = remedy(plan)
    assert set(change) == changed
    changed_plan = plan.replace({"parallelism.data": None, **change})
    after = simulate(changed_plan, engine="analytical")
    assert after.status == "completed"
    assert after.memory_peak_bytes == need
    assert result.to_json()["remedy"]["change"] == change


def test_states_are_divided_over_all_before_anything_is_split():
    keys = {"parallelism.zero": 3, "parallelism.shard": 1}
    plan = large(data=16, per_node=8).replace(keys)
    assert remedy(plan)[0] == {"parallelism.shard": 16}


def test_context_is_tried_where_samples_are_too_long():
    plan = large(layers=2, length=1048576, data=16, per_node=8, microbatches=1)
    assert "parallelism.context" in remedy(plan)[0]


def test_nothing_fits_a_model_too_large():
    assert remedy(large(layers=512, hidden=16384, data=1)) is None
