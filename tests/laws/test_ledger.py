"""Bytes on the wire, derived by hand: exact, because they are whole numbers.

A small GPT with b samples a micro-batch, m micro-batches, d replicas, L blocks, s
tokens, h features, V entries; e bytes an activation, g a gradient. A message of a
group counts once, with its NCCL size; a ledger row adds them up over the whole job.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.job import prepare
from simulator.lowering.unfold import unfold
from simulator.results.metrics import ledger
from tests.laws.small_plans import plan, plans

S, H, V = 32, 64, 128  # tokens, features, entries
E = G = 2  # bytes, fp16
NORM = 4  # the gradient norm, one fp32 number


def rows_of(given_plan):
    """The ledger as {(pattern, axis): (bytes, count)}."""
    mesh = given_plan.parallelism
    rows = ledger(prepare(given_plan).workload, mesh.degrees)
    return {(row.op, row.axis): (row.bytes, row.count) for row in rows}


def test_one_device_sends_nothing():
    assert rows_of(plan()) == {}


@pytest.mark.parametrize(("recompute", "per_block"), [("none", 4), ("full", 6)])
def test_tensor_parallel_sends_four_or_six_all_reduces_a_block(recompute, per_block):
    """Megatron-LM, arXiv:1909.08053, figure 4: f and g, each once per direction.

    A block: forward, the partial outputs of projection and fc2; backward, the partial
    input gradients of fc1 and qkv: 4 all-reduces of b·s·h·e. Full recomputation
    repeats the forward: 6. Around the blocks: the vocabulary-parallel embedding's
    output and the input gradient of the logits, the same size each, and three
    numbers a token in fp32 for the vocabulary-parallel loss.
    """
    b, m, d, layers = 3, 5, 2, 4
    rows = rows_of(
        plan(
            tensor=4,
            data=d,
            micro=b,
            microbatches=m,
            layers=layers,
            recompute=recompute,
        )
    )
    large, small = per_block * layers + 2, 3
    size = m * d * (large * b * S * H * E + small * 4 * b * S)
    assert rows["all-reduce", "tensor"] == (size, m * d * (large + small))
    assert ("all-gather", "tensor") not in rows


def test_selective_recomputation_repeats_no_message():
    plain = rows_of(plan(tensor=4, layers=2, recompute="none"))
    assert rows_of(plan(tensor=4, layers=2, recompute="selective")) == plain


def test_sequence_parallel_gathers_and_scatters_instead():
    """Korthikanti et al., arXiv:2205.05198, section 4.2.2.

    A block, in messages of b·s·h·e: forward, gathers before qkv and fc1, scatters
    after projection and fc2. Backward, the conjugates: gathers before projection and
    fc2, scatters after fc1 and qkv; and since each rank kept only its part of their
    inputs, fc1 and qkv gather them again. So 2 + 4 gathers and 2 + 2 scatters.
    Around the blocks: the embedding scatters, and gathers its gradient; the logits
    gather twice and scatter. The only all-reduces left are the loss's three, of 4
    bytes a token, and at the end those of parameters that every rank holds: norms'
    gain and bias (two norms a block and the final one, 2 h each) and the biases of
    projection and fc2 (h each). The position table's gradient is whole on every rank.
    """
    b, m, d, layers = 3, 5, 2, 4
    rows = rows_of(
        plan(
            tensor=4,
            data=d,
            micro=b,
            microbatches=m,
            layers=layers,
            sequence=True,
        )
    )
    part, groups = b * S * H * E, m * d
    gathers, scatters = 6 * layers + 1 + 2, 4 * layers + 1 + 1
    assert rows["all-gather", "tensor"] == (groups * gathers * part, groups * gathers)
    assert rows["reduce-scatter", "tensor"] == (
        groups * scatters * part,
        groups * scatters,
    )
    replicated = layers * (2 * 2 * H + 2 * H) + 2 * H
    loss = groups * 3 * 4 * b * S
    assert rows["all-reduce", "tensor"] == (loss + d * G * replicated, 3 * groups + d)


@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize(
    ("schedule", "chunks"), [("gpipe", 1), ("1f1b", 1), ("interleaved", 2)]
)
def test_pipeline_sends_activations_forward_and_gradients_back(
    schedule, chunks, sequence
):
    """Each of the t·d ranks of a stage sends b·s·h·e / t each way over each boundary.

    There are p·v - 1 boundaries. Without sequence parallelism the tensor ranks of the
    receiving stage then gather the whole, b·s·h·e (arXiv:2104.04473, section 4.1).
    """
    b, m, t, p, d = 3, 8, 2, 4, 2
    rows = rows_of(
        plan(
            tensor=t,
            pipeline=p,
            data=d,
            schedule=schedule,
            chunks=chunks,
            micro=b,
            microbatches=m,
            sequence=sequence,
        )
    )
    crossings = 2 * (p * chunks - 1) * m * d
    size = b * S * H * E
    assert rows["send", "pipeline"] == (crossings * size, crossings * t)
    if not sequence:
        assert rows["all-gather", "tensor"] == (crossings * size, crossings)


@pytest.mark.parametrize("overlap", [False, True])
def test_data_parallel_sums_every_gradient_once(overlap):
    """Every parameter's gradient, g bytes, is summed over d replicas, bucketed or not.

    GPT: table V·h, positions s·h, per block 12 h² + 13 h, final norm 2 h; the logits
    are tied. Of those, a tensor rank has 1/t of table and matrices (4 h² qkv and
    projection, 8 h² feed-forward) and of the biases of qkv (3 h) and fc1 (4 h), and
    all of the rest.
    """
    t, d, layers = 2, 3, 4
    rows = rows_of(
        plan(tensor=t, data=d, layers=layers, overlap=overlap, bucket="40 kB")
    )
    whole = S * H + 2 * H + layers * (2 * 2 * H + 2 * H)
    divided = V * H + layers * (12 * H**2 + 3 * H + 4 * H)
    size, count = rows["all-reduce", "data"]
    assert size == t * G * (whole + divided / t)
    assert count == t if not overlap else count > t


def test_gradient_precision_sets_the_bytes_of_data_parallelism():
    half = rows_of(plan(data=2))["all-reduce", "data"]
    both = plan(data=2).replace({"training.gradient_precision": "fp32"})
    full = rows_of(both)["all-reduce", "data"]
    assert full == (2 * half[0], half[1])


def test_a_tied_table_is_summed_over_first_and_last_stage():
    """The table's V·h/t gradients of each tensor rank and replica, g bytes each."""
    t, p, d = 2, 4, 3
    rows = rows_of(plan(tensor=t, pipeline=p, data=d))
    assert rows["all-reduce", "embedding"] == (t * d * G * V * H / t, t * d)
    assert ("all-reduce", "embedding") not in rows_of(plan(tensor=t, data=d))


def test_the_norm_is_one_number_per_replica():
    rows = rows_of(plan(tensor=2, pipeline=2, data=3))
    assert rows["all-reduce", "model"] == (3 * NORM, 3)


@given(plans(max_degree=3, max_microbatches=3))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_unfolding_keeps_wire_bytes(small):
    mesh = small.parallelism
    folded = prepare(small).workload
    unfolded = unfold(folded, mesh.degrees)
    assert ledger(unfolded, mesh.degrees) == ledger(folded, mesh.degrees)


@given(plans(), st.integers(2, 3))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_more_microbatches_send_more_but_sum_gradients_once(small, factor):
    larger = small.replace({"batch.global": factor * small.batch.global_})
    before, after = rows_of(small), rows_of(larger)
    assert set(before) == set(after)
    # Holds both the loss, of every micro-batch, and the norms' gradients, of a step.
    before.pop(("all-reduce", "tensor"), None)
    for (pattern, axis), (size, count) in before.items():
        times = factor if axis in {"pipeline", "tensor"} else 1
        assert after[pattern, axis] == (times * size, times * count)
