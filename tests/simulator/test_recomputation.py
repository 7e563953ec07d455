"""Recomputation that does not wait, and a micro-batch that is not dropped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import simulate
from simulator.errors import PlanError
from simulator.job import prepare
from simulator.lowering.stopping import stops
from simulator.results.utilization import hardware_flop
from tests.laws.small_plans import plan, step_time

GPIPE = {"schedule": "gpipe", "micro": 64, "precision": "fp16", "hidden": 1024}
EARLY = {
    "parallelism.recompute_early": True,
    "parallelism.overlap_sends": True,
    "synchronization.overlap": False,
}


def passes(p, m):
    """A plan whose stages are equal blocks, computed again."""
    own = plan(pipeline=p, microbatches=m, recompute="full", layers=p, **GPIPE)
    return own.replace(EARLY)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5), st.integers(1, 6))
def test_it_never_takes_longer_to_recompute_early(pipeline, microbatches):
    early = passes(pipeline, microbatches)
    late = early.replace({"parallelism.recompute_early": False})
    assert step_time(prepare(early)) <= step_time(prepare(late)) * (1 + 1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6))
def test_a_kept_micro_batch_saves_time(pipeline, microbatches):
    dropped = passes(pipeline, microbatches)
    kept = dropped.replace({"parallelism.recompute_all": False})
    assert step_time(prepare(kept)) < step_time(prepare(dropped))


def test_one_micro_batch_on_one_stage_that_is_kept_is_not_computed_again():
    kept = passes(1, 1).replace({"parallelism.recompute_all": False})
    plain = kept.replace(
        {
            "parallelism.recompute": "none",
            "parallelism.recompute_early": False,
            "parallelism.recompute_all": True,
        }
    )
    assert step_time(prepare(kept)) == pytest.approx(step_time(prepare(plain)))
    assert simulate(kept).memory.activations == simulate(plain).memory.activations


def test_both_need_full_recomputation():
    with pytest.raises(PlanError, match="is of full recomputation"):
        plan().replace({"parallelism.recompute_early": True})


def test_a_last_product_is_not_computed_twice():
    """Without dropout; of 24 s h² FLOP of a block, 16 are."""
    full = {"recompute": "full", "layers": 1, "hidden": 1024, "length": 32}
    own = plan(**full).replace({"model.dropout": False})
    stopped = own.replace({"parallelism.recompute_stops": True})
    samples = own.batch.global_
    less = hardware_flop(prepare(own)) - hardware_flop(prepare(stopped))
    assert less == samples * 8 * 32 * 1024**2
    assert step_time(prepare(stopped)) < step_time(prepare(own))


def test_a_dropout_at_the_end_needs_all_before_it():
    own = plan(recompute="full", layers=1)
    stopped = own.replace({"parallelism.recompute_stops": True})
    assert hardware_flop(prepare(own)) == hardware_flop(prepare(stopped))


def test_torch_stops_and_megatron_does_not():
    own = plan(recompute="full").replace({"model.dropout": False})
    assert not stops(own)
    assert stops(own.replace({"training.framework": "torch"}))


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"parallelism.recompute_early": True}, "computed to their end"),
        ({"parallelism.zero": 3, "parallelism.gather": "weight"}, "to their end"),
    ],
)
def test_what_computes_whole_blocks_does_not_stop(other, problem):
    with pytest.raises(PlanError, match=problem):
        plan(recompute="full").replace(other | {"parallelism.recompute_stops": True})
