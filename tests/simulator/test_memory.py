"""What a device has to hold, by the papers' formulas."""

import pytest
from hypothesis import given, settings

from simulator.api import simulate
from simulator.job import prepare
from simulator.memory.peak import memory
from simulator.plan import Plan
from tests.laws.small_plans import plan, plans, table

S, H, V, A = 32, 64, 128, 8  # tokens, features, entries, heads
FP16 = 2
BLOCK = S * H * (34 + 5 * A * S / H)  # bytes a block keeps of a sample
INPUT = 2 * S * H  # of it, the input
EMBEDDING = 2 * 8 * S + S * H  # the indices of both tables, and dropout's mask
HEAD = 2 * INPUT + 4 * S * V  # inputs of norm and logits, probabilities in fp32


def parts(**choices):
    return memory(prepare(plan(**choices)))[0]


def test_states_take_sixteen_bytes_a_parameter():
    # Rajbhandari et al., arXiv:1910.02054, section 3.1: 2 + 2 + 12 in mixed precision;
    # in single precision 4 + 4 and two states of 4.
    parameters = V * H + S * H + 2 * H + 2 * (12 * H**2 + 13 * H)
    for precision, expected in {"fp16": (2, 2, 12), "fp32": (4, 4, 8)}.items():
        held = parts(layers=2, precision=precision)
        states = (held.weights, held.gradients, held.optimizer)
        assert states == tuple(size * parameters for size in expected)


@pytest.mark.parametrize(("optimizer", "size"), [("sgd", 4), ("momentum", 8)])
def test_optimizers_keep_what_they_need_and_a_master_copy(optimizer, size):
    job = prepare(plan().replace({"training.optimizer": optimizer}))
    held = memory(job)[0]
    assert held.optimizer == size / FP16 * held.weights


def test_a_block_keeps_what_the_paper_says():
    # Korthikanti et al., arXiv:2205.05198, equation 1: s b h (34 + 5 a s / h).
    one, three = (parts(layers=layers, micro=2).activations for layers in (1, 3))
    assert three - one == 2 * 2 * BLOCK


def test_selective_recomputation_keeps_thirty_four():
    # The same, table 2: without the 5 a s / h of the core attention, but while a
    # block is recomputed, that of one block.
    one, three = (
        parts(layers=layers, recompute="selective").activations for layers in (1, 3)
    )
    assert three - one == 2 * S * H * 34
    assert one == parts(layers=1).activations


def test_full_recomputation_keeps_inputs():
    one, three = (
        parts(layers=layers, recompute="full").activations for layers in (1, 3)
    )
    assert three - one == 2 * INPUT
    assert one == parts(layers=1).activations


def test_tensor_and_sequence_parallelism_divide_activations():
    # The same, table 2: s b h (10 + (24 + 5 a s / h) / t), and all of it over t.
    t = 4

    def block(**choices):
        one, two = (
            parts(tensor=t, layers=layers, **choices).activations for layers in (1, 2)
        )
        return two - one

    assert block() == S * H * (10 + (24 + 5 * A * S / H) / t)
    assert block(sequence=True) == BLOCK / t


@pytest.mark.parametrize("microbatches", [2, 3, 4, 8])
def test_1f1b_holds_as_many_microbatches_as_there_are_stages(microbatches):
    # The first rank, which is the fullest: min(m, p) micro-batches in flight.
    p = 4
    held, rank = memory(prepare(plan(pipeline=p, microbatches=microbatches)))
    assert rank == 0
    assert held.activations == min(microbatches, p) * (EMBEDDING + BLOCK)


def test_gpipe_holds_all_microbatches():
    # At the fullest moment the last one's head is done with.
    one, eight = (parts(schedule="gpipe", microbatches=m).activations for m in (1, 8))
    assert one == EMBEDDING + BLOCK
    assert eight == 8 * one + 7 * HEAD


def test_buckets_are_there_twice_where_gradients_overlap():
    assert parts(data=2, overlap=True, bucket="1 MB").buffers == 2e6
    assert parts(data=2, overlap=False, bucket="1 MB").buffers == 0
    assert parts(data=1, overlap=True, bucket="1 MB").buffers == 0


def test_the_fullest_rank_is_reported():
    # Every rank of GPipe holds all micro-batches; the last has the logits besides.
    _, rank = memory(prepare(plan(pipeline=4, schedule="gpipe", vocabulary=4096)))
    assert rank == 3


def test_parts_add_up():
    held = parts(tensor=2, data=2, overlap=True)
    assert held.total == (
        held.weights
        + held.gradients
        + held.optimizer
        + held.activations
        + held.working
        + held.workspace
        + held.buffers
        + held.allocator
        + held.overhead
    )


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=100)
def test_every_activation_is_freed_by_the_end(small):
    for row in prepare(small).rows:
        held = set()
        for action in row:
            what = (action.stage, action.microbatch)
            if action.kind == "F":
                assert what not in held
                held.add(what)
            elif action.kind != "I":
                held.remove(what)
        assert held == set()


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_recomputation_never_needs_more_memory(small):
    held = {
        recompute: memory(prepare(small.replace({"parallelism.recompute": recompute})))[
            0
        ].total
        for recompute in ("none", "selective", "full")
    }
    assert held["selective"] <= held["none"]
    assert held["full"] <= held["none"]


def test_copies_of_gradients_stay_with_the_allocator():
    """The step of each of d = 2 devices copies P / 2 gradients: 2 B and 4 B of each.

    Where the step itself is fullest, they are tensors; else the allocator has kept
    their place since the step before.
    """
    tables = table(data=2, micro=8, length=512)
    tables["parallelism"]["zero"] = 1
    plain = Plan.from_mapping(tables)
    tables["training"]["gradient_copies"] = True
    copying = Plan.from_mapping(tables)
    before, after = (simulate(each).memory for each in (plain, copying))
    parameters = before.weights / 2
    assert after.allocated == before.allocated
    copies = (2 + 4) * parameters / 2
    assert after.allocator - before.allocator == pytest.approx(copies, rel=1e-12)
