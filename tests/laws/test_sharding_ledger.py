"""Bytes of ZeRO and FSDP, derived by hand: exact, because they are whole numbers.

A small GPT whose head shares the embedding's table: table V h and positions s h, blocks
of 12 h² + 13 h, a last norm of 2 h. e bytes a gathered parameter, g a reduced gradient.
A message of a group counts once, with its NCCL size; a row adds them up over the job.
"""

import pytest

from simulator.job import prepare
from simulator.plan import Plan
from simulator.results.metrics import ledger
from tests.laws.small_plans import plan, table

S, H, V = 32, 64, 128  # tokens, features, entries
E, G = 2, 4  # fp16 parameters gathered, fp32 gradients reduced
NORM = 4
TABLE, REST, BLOCK, LAST = V * H, S * H, 12 * H**2 + 13 * H, 2 * H
ROOT = TABLE + REST + LAST


def sharded(zero, changes=None, **choices):
    """The small plan under ZeRO, gradients summed in fp32."""
    keys = {"parallelism.zero": zero, "training.gradient_precision": "fp32"}
    extra = {f"parallelism.{key}": value for key, value in (changes or {}).items()}
    return plan(overlap=True, **choices).replace(keys | extra)


def rows_of(given_plan):
    """The ledger as {(pattern, axis): (bytes, count)}."""
    rows = ledger(prepare(given_plan).workload, given_plan.parallelism.degrees)
    return {(row.op, row.axis): (row.bytes, row.count) for row in rows}


def bytes_of(given_plan):
    return {key: size for key, (size, _) in rows_of(given_plan).items()}


@pytest.mark.parametrize("microbatches", [1, 3])
@pytest.mark.parametrize("overlap_gather", [False, True])
def test_zero_1_scatters_gradients_and_gathers_parameters_once(
    microbatches, overlap_gather
):
    """Rajbhandari et al., arXiv:1910.02054, section 7.1: 2 Ψ, as an all-reduce.

    Four replicas of Ψ parameters: after the last micro-batch a reduce-scatter of g Ψ,
    after the optimizer an all-gather of e Ψ, however many micro-batches there are. The
    norm of the parts of the gradients is one number.
    """
    parameters = ROOT + 2 * BLOCK
    changes = {"overlap_gather": overlap_gather}
    found = sharded(1, changes, data=4, layers=2, microbatches=microbatches)
    assert bytes_of(found) == {
        ("reduce-scatter", "shard"): G * parameters,
        ("all-gather", "shard"): E * parameters,
        ("all-reduce", "shard"): NORM,
    }


def test_zero_2_scatters_gradients_of_every_microbatch():
    """As ZeRO-1, but with m = 3 micro-batches m reduce-scatters of g Ψ: only a part of
    the sum is kept. Told to keep whole gradients, it sends what ZeRO-1 does.
    """
    parameters = ROOT + 2 * BLOCK
    choices = {"data": 4, "layers": 2, "microbatches": 3}
    found = bytes_of(sharded(2, **choices))
    assert found["reduce-scatter", "shard"] == 3 * G * parameters
    assert found["all-gather", "shard"] == E * parameters
    whole = sharded(2, {"reduce_each": False}, **choices)
    assert rows_of(whole) == rows_of(sharded(1, **choices))


def test_zero_2_by_torch_fills_buckets_up_to_equal_parts():
    """Layers of 544, 1056, 1056 and 330 parameters, buckets of 4 kB from behind.

    330 + 1056 = 1386 fill the first, which four ranks divide as 1388; 1056 and 544
    need nothing. Two micro-batches reduce 2988 numbers each, one gathering has 2988.
    """
    given = Plan.from_mapping(
        {
            "model": {"family": "mlp", "widths": [16, 32, 32, 32, 10]},
            "batch": {"global": 16, "micro": 2},
            "training": {"precision": "fp32", "framework": "torch"},
            "parallelism": {"zero": 2},
            "synchronization": {"bucket": "4 kB"},
            "cluster": {"device": "v100", "devices_per_node": 4, "fabric": "nvlink-2"},
        }
    )
    assert rows_of(given) == {
        ("reduce-scatter", "shard"): (2 * 4 * 2988, 6),
        ("all-gather", "shard"): (4 * 2988, 1),
        ("all-reduce", "shard"): (NORM, 1),
    }


def test_zero_3_gathers_each_layer_twice_and_the_root_once():
    """m = 3 micro-batches, each of which gathers L = 4 blocks for forward and for
    backward, and the root (embedding and head, which share a table) once: it stays.
    Every unit's gradients are scattered in every micro-batch. Messages are one a unit.
    """
    m, layers = 3, 4
    rows = rows_of(sharded(3, data=4, layers=layers, microbatches=m))
    gathered = m * E * (2 * layers * BLOCK + ROOT)
    assert rows == {
        ("all-gather", "shard"): (gathered, m * (2 * layers + 1)),
        ("reduce-scatter", "shard"): (
            m * G * (layers * BLOCK + ROOT),
            m * (layers + 1),
        ),
        ("all-reduce", "shard"): (NORM, 1),
    }


def test_parameters_that_stay_are_gathered_once_a_microbatch():
    """Without dropping them after the forward (SHARD_GRAD_OP): m e Ψ."""
    m, layers = 3, 4
    changes = {"reshard": False}
    rows = rows_of(sharded(3, changes, data=4, layers=layers, microbatches=m))
    gathered = m * E * (layers * BLOCK + ROOT)
    assert rows["all-gather", "shard"] == (gathered, m * (layers + 1))


def test_hybrid_sharding_sums_parts_over_the_copies():
    """Six replicas in two groups of s = 3: each group gathers and scatters as above;
    then the three ranks with different parts each sum theirs, g Ψ / 3, with the one
    rank of the other group that has the same part.
    """
    layers, s = 4, 3
    parameters = layers * BLOCK + ROOT
    rows = rows_of(sharded(3, {"shard": s}, data=6, layers=layers, microbatches=1))
    units = layers + 1
    assert rows == {
        ("all-gather", "shard"): (2 * E * (2 * layers * BLOCK + ROOT), 2 * (units + 4)),
        ("reduce-scatter", "shard"): (2 * G * parameters, 2 * units),
        ("all-reduce", "replicate"): (3 * G * parameters / s, 3 * units),
        ("all-reduce", "shard"): (2 * NORM, 2),
    }


def test_hybrid_zero_1_sums_parts_over_the_copies():
    """Two groups of s = 2: 2 g Ψ scattered, 2 pairs of ranks sum g Ψ / 2 each, and the
    updated parameters are gathered in both groups.
    """
    parameters = 2 * BLOCK + ROOT
    found = bytes_of(sharded(1, {"shard": 2}, data=4, layers=2))
    assert found == {
        ("reduce-scatter", "shard"): 2 * G * parameters,
        ("all-reduce", "replicate"): 2 * G * parameters / 2,
        ("all-gather", "shard"): 2 * E * parameters,
        ("all-reduce", "shard"): 2 * NORM,
    }


def test_tensor_ranks_gather_their_part_of_each_matrix():
    """t = 2: of a block, a rank has 1/t of 12 h² and of the biases of qkv and fc1
    (7 h), and all of the other 6 h; of the root 1/t of the table. Two groups send.
    """
    t, layers = 2, 4
    block, root = (12 * H**2 + 7 * H) / t + 6 * H, TABLE / t + REST + LAST
    rows = rows_of(sharded(3, data=2, tensor=t, layers=layers, microbatches=1))
    gathered = E * (2 * layers * block + root)
    assert rows["all-gather", "shard"] == (t * gathered, t * (2 * layers + 1))
    assert rows["reduce-scatter", "shard"][0] == t * G * (layers * block + root)
    assert rows["all-reduce", "shard"] == (t * NORM, t)


def test_pipeline_stages_gather_for_every_pass_and_reduce_once():
    """p = 2 stages of one block, m = 2 micro-batches, 1F1B; the table is on both ends.

    Rank 0 runs F0 F1 B0 B1 over embedding and block: e b, e b, b e, b e. The block
    stays from F1 to B0, which follow each other: e is gathered 4 times, b 3 times.
    Rank 1 runs F0 B0 F1 B1 over block and head: b h, h b, b h, h b. The head stays
    from each F to its B: b 4 times, h twice. Whole gradients are kept up to the last
    micro-batch, and reduced once. By then each of the d ranks of an end has 1/d of
    the copied table's gradients, and sums that with its partner at the other end.
    """
    d = 3
    rows = rows_of(sharded(3, data=d, pipeline=2, layers=2, microbatches=2))
    first, head = TABLE + REST, TABLE + LAST
    gathered = 4 * first + 3 * BLOCK + 4 * BLOCK + 2 * head
    assert rows["all-gather", "shard"] == (E * gathered, 4 + 3 + 4 + 2)
    assert rows["reduce-scatter", "shard"] == (G * (first + 2 * BLOCK + head), 4)
    assert rows["all-reduce", "shard"] == (2 * NORM, 2)
    assert rows["all-reduce", "embedding"] == (G * TABLE, d)


def test_torch_drops_what_a_pipelines_stage_gathered_after_forwards_only():
    """The same, as torch's runtime does it, for d = 2, which divides all rows.

    Every forward drops its units, the last too, and no backward does. Rank 0 gathers
    for F0, F1 and B0, and B1 finds them; rank 1 gathers for F0, B0 and B1, and F1 finds
    what B0 left. So every unit is gathered 3 times, of 2 m = 4 passes.
    """
    given = sharded(3, data=2, pipeline=2, layers=2, microbatches=2)
    rows = rows_of(given.replace({"training.framework": "torch"}))
    units = TABLE + REST + 2 * BLOCK + TABLE + LAST
    assert rows["all-gather", "shard"] == (3 * E * units, 3 * 4)
    assert rows["reduce-scatter", "shard"] == (G * units, 4)


def test_parts_of_a_tied_table_are_summed_over_the_ends():
    """With gradients reduced in every micro-batch, each of the d ranks of an end has
    1/d of the table's, g V h / d bytes, and sums it with its peer.
    """
    d = 3
    changes = {"reduce_each": True}
    rows = rows_of(sharded(3, changes, data=d, pipeline=2, layers=2, microbatches=2))
    assert rows["all-reduce", "embedding"] == (d * G * TABLE / d, d)
    assert rows["reduce-scatter", "shard"][1] == 2 * 4


def test_pipeline_stages_that_keep_parameters_gather_them_once_a_step():
    """Llama 3 (arXiv:2407.21783, section 3.3.2) does not drop them: e (Ψ + V h)."""
    changes = {"reshard": False}
    rows = rows_of(sharded(3, changes, data=3, pipeline=2, layers=2, microbatches=4))
    assert rows["all-gather", "shard"] == (E * (ROOT + 2 * BLOCK + TABLE), 4)


def test_zero_3_sends_half_as_much_again_as_data_parallelism():
    """Rajbhandari et al., arXiv:1910.02054, section 7.2.2: 3 Ψ against 2 Ψ.

    A ring all-reduce of Ψ sends what a reduce-scatter and an all-gather of Ψ do. ZeRO-3
    has one reduce-scatter and two all-gathers, but for the last unit in forward
    order, the first in backward: that one stays. A Llama's head shares no table.
    """
    tables = table(data=4, layers=6, microbatches=1)
    tables["model"] |= {"family": "llama", "feed_forward": 128}
    plain = Plan.from_mapping(tables)
    (all_reduced,) = bytes_of(plain).values()
    found = bytes_of(plain.replace({"parallelism.zero": 3}))
    sent = found["all-gather", "shard"] + found["reduce-scatter", "shard"]
    head = plain.build_model().layers[-1].parameters
    assert sent + E * head == 1.5 * (2 * all_reduced)


@pytest.mark.parametrize("microbatches", [1, 2])
def test_weights_gathered_by_themselves_are_gathered_for_every_use(microbatches):
    """Blocks of h = 512: qkv, projection and both of the feed-forward part have 3 h²,
    h², 4 h² and 4 h² weights and 9 h biases; norms of 4 h are few and stay everywhere,
    as do 32 h positions and the last norm. The table of 512 h is the root.

    A forward pass gathers a block's four, a backward pass four for the recomputation,
    and all but the one used last again for gradients; without recomputation, four. The
    root is gathered once a micro-batch. Every gradient is a reduction of its own, those
    of what stays everywhere one a unit.
    """
    h, layers, m = 512, 2, microbatches
    dims = {"model.hidden": h, "model.heads": 4, "model.vocabulary": 512}
    changes = {"gather": "weight", "prefetch": 0}
    table, block, last = 512 * h, 12 * h * h + 9 * h, 4 * h * h + h

    def rows(recompute):
        given = {**changes, "recompute": recompute}
        small = sharded(3, given, data=4, layers=layers, microbatches=m)
        return rows_of(small.replace(dims))

    full, none = rows("full"), rows("none")
    once, again = table + layers * 2 * block, layers * (block - last)
    assert none["all-gather", "shard"] == (m * E * once, m * (1 + layers * 8))
    assert full["all-gather", "shard"] == (
        m * E * (once + again),
        m * (1 + layers * 11),
    )
    kept = layers * 4 * h + S * h + 2 * h
    sizes = table + layers * block + kept
    reduced = (m * G * sizes, m * (2 + layers * 5))
    assert full["reduce-scatter", "shard"] == none["reduce-scatter", "shard"] == reduced


def test_torch_pads_tensors_that_ranks_do_not_divide():
    """FSDP2 cuts rows: 10 of the last matrix and of its bias make four parts of 3.

    A perceptron of widths 16, 32, 10 over four ranks: 16 32 + 32 numbers are cut as
    they are; of 32 10 + 10 there are 12 rows of 32 + 1. All are gathered for the
    forward, the first layer's again for its backward, and all are scattered once.
    """
    given = Plan.from_mapping(
        {
            "model": {"family": "mlp", "widths": [16, 32, 10]},
            "batch": {"global": 16, "micro": 4},
            "parallelism": {"data": 4, "zero": 3},
            "training": {"precision": "fp32", "framework": "torch"},
            "cluster": {"device": "v100", "devices_per_node": 4, "fabric": "nvlink-2"},
        }
    )
    first, padded = 16 * 32 + 32, 12 * (32 + 1)
    torch, megatron = (
        bytes_of(given),
        bytes_of(given.replace({"training.framework": "megatron"})),
    )
    assert torch["all-gather", "shard"] == 4 * (2 * first + padded)
    assert torch["reduce-scatter", "shard"] == 4 * (first + padded)
    assert megatron["reduce-scatter", "shard"] == 4 * (first + 10 * 33)
