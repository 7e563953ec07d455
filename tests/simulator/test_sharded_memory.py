"""What a device holds where replicas divide states, by the ZeRO paper's formulas."""

import pytest

from simulator.api import simulate
from simulator.job import prepare
from simulator.memory.peak import memory
from simulator.reporting.notes import state_notes
from tests.laws.small_plans import plan

S, H, V, LAYERS = 32, 64, 128, 4
BLOCK = 12 * H**2 + 13 * H
ROOT = V * H + S * H + 2 * H
PARAMETERS = ROOT + LAYERS * BLOCK
N, ADAM = 4, 12  # replicas; bytes of master copy and two states


def parts(zero, **keys):
    """Parts of memory of a small GPT of fp16 on N replicas."""
    changes = {"training.parameter_precision": "fp16", "parallelism.zero": zero}
    small = plan(data=N, layers=LAYERS, overlap=True, microbatches=2)
    return memory(prepare(small.replace(changes | keys)))[0]


@pytest.mark.parametrize(
    ("zero", "expected"),
    [
        (0, (2, 2, ADAM)),
        (1, (2, 2, ADAM / N)),
        (2, (2, 2 / N, ADAM / N)),
        (3, (2 / N, 2 / N, ADAM / N)),
    ],
)
def test_states_are_those_of_the_zero_paper(zero, expected):
    # Rajbhandari et al., arXiv:1910.02054, figure 1: (2 + 2 + K) Ψ, then K, 2 and 2
    # divided in turn by N, with K = 12 for Adam.
    held = parts(zero)
    states = (held.weights, held.gradients, held.optimizer)
    assert states == tuple(size * PARAMETERS for size in expected)


def test_fsdp_keeps_single_precision_alone():
    # Parameters, gradients and both states of Adam in fp32, all divided: 16 Ψ / N.
    held = parts(3, **{"training.parameter_precision": None})
    states = (held.weights, held.gradients, held.optimizer)
    assert states == tuple(size * PARAMETERS / N for size in (4, 4, 8))


def test_hybrid_sharding_divides_by_its_group():
    held = parts(3, **{"parallelism.shard": 2})
    assert held.optimizer == ADAM * PARAMETERS / 2


def test_whole_gradients_are_kept_where_the_last_microbatch_reduces():
    held = parts(3, **{"parallelism.reduce_each": False})
    assert held.gradients == 2 * PARAMETERS
    assert held.weights == 2 * PARAMETERS / N


def test_gathered_units_are_the_root_two_blocks_and_a_message():
    # While a block's backward runs: the root, which stays; the block and the one
    # gathered ahead; its fresh gradients, and those in a message. 2 bytes each.
    held = parts(3)
    assert held.buffers == 2 * (ROOT + 2 * BLOCK + BLOCK + BLOCK)
    further = parts(3, **{"parallelism.prefetch": 2})
    assert further.buffers == held.buffers + 2 * BLOCK


def test_parameters_that_stay_are_all_there():
    held = parts(3, **{"parallelism.reshard": False})
    assert held.buffers == 2 * (PARAMETERS + BLOCK + BLOCK)


def test_zero_1_needs_no_buffers_and_zero_2_two_buckets():
    # Filled from the last layer on: the norm and a block, then a block each.
    bucket = {"synchronization.bucket": f"{2 * BLOCK} B"}
    assert parts(1, **bucket).buffers == 0
    assert parts(2, **bucket).buffers == 2 * (2 * H + BLOCK + BLOCK)


def test_parts_of_gradients_come_beside_whole_ones_that_were_kept():
    """FSDP that reduces in the last micro-batch alone: while the first unit's whole
    gradients are sent, the part of their sum that stays is there too.
    """
    each, last = parts(3), parts(3, **{"parallelism.reduce_each": False})
    assert last.buffers == each.buffers + 2 * BLOCK / N


def test_zero_2_that_keeps_whole_gradients_is_zero_1():
    """Both reduce once, where gradients are kept: the same memory and the same step."""
    whole = {"parallelism.reduce_each": False}
    assert parts(2, **whole) == parts(1)
    small = plan(data=N, layers=LAYERS, overlap=True, microbatches=2, hidden=512)
    two, one = (
        simulate(small.replace({"parallelism.zero": zero, **keys}))
        for zero, keys in ((2, whole), (1, {}))
    )
    assert two.step_time_s == one.step_time_s
    (note,) = state_notes(two.job.plan)
    assert note.startswith("zero = 2 is here what zero = 1 is")
    assert state_notes(one.job.plan) == []


@pytest.mark.parametrize("microbatches", [1, 4])
def test_each_stage_of_zero_holds_less(microbatches):
    small = plan(data=8, layers=8, microbatches=microbatches, hidden=256, overlap=True)
    totals = [
        memory(prepare(small.replace({"parallelism.zero": zero})))[0].total
        for zero in range(4)
    ]
    assert totals == sorted(totals, reverse=True)
