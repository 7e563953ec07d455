"""Executed FLOP by formula, and by adding up the kernels of the step."""

import pytest
from hypothesis import given, settings

from models.work import Work
from simulator.api import simulate
from simulator.job import prepare
from simulator.results.utilization import hardware_flop, model_flop
from simulator.workload import Beside, flatten
from tests.laws.small_plans import plan, plans


def executed_flop(job):
    """FLOP of all kernels in the workload, on all the ranks that roles stand for."""
    total = 0.0
    for op in job.workload.ops:
        ranks = sum(job.workload.roles[rank].multiplicity for rank in op.ranks)
        for item, _ in flatten(op.body.items, op.body.phase):
            works = item.works if isinstance(item, Beside) else (item,)
            total += ranks * sum(work.flop for work in works if isinstance(work, Work))
    return total


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_hardware_flop_are_those_of_the_kernels(small):
    job = prepare(small)
    assert hardware_flop(job) == pytest.approx(executed_flop(job), rel=1e-12)


def test_without_recomputation_both_utilizations_are_one():
    result = simulate(plan())
    assert result.hfu == result.mfu


def test_full_recomputation_executes_the_blocks_forward_twice():
    # A step is F + 2 F of every block and of the head; recomputed, F + F + 2 F.
    small = plan(recompute="full", layers=4)
    job, result = prepare(small), simulate(small)
    blocks = [layer for layer in job.model.layers if layer.role == "block"]
    again = small.batch.global_ * sum(layer.forward_flop() for layer in blocks)
    expected = (model_flop(job) + again) / model_flop(job)
    assert result.hfu / result.mfu == pytest.approx(expected, rel=1e-12)
    assert result.to_json()["hfu"] == result.hfu
