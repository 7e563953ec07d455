"""Where the tensor collectives stand, by the table in `simulator.lowering.passes`."""

import pytest

from models.operators import Linear
from models.work import Share, Work
from simulator.lowering.passes import layer_passes
from simulator.workload import Message, flatten
from tests.laws.small_plans import plan

BLOCK = plan().build_model().layers[1]
WHOLE = Share(samples=1)
TENSOR = Share(samples=1, tensor=4)
SEQUENCE = Share(samples=1, tensor=4, sequence=4)


def leaves(items):
    return [item for item, _ in flatten(tuple(items), "forward")]


def messages(items):
    return [item.name for item in leaves(items) if isinstance(item, Message)]


def kernels(items):
    return [item.name for item in leaves(items) if isinstance(item, Work)]


def neighbours(items, name):
    """Names of what is before and after the message `name`."""
    row = [item.name for item in leaves(items)]
    place = row.index(name)
    return row[place - 1], row[place + 1]


def test_one_rank_has_no_messages():
    passes = layer_passes(BLOCK, WHOLE, "none")
    assert messages(passes.forward) == messages(passes.backward) == []


def test_tensor_ranks_sum_outputs_and_input_gradients():
    passes = layer_passes(BLOCK, TENSOR, "none")
    assert messages(passes.forward) == ["projection all-reduce", "fc2 all-reduce"]
    assert messages(passes.backward) == [
        "fc1 gradient all-reduce",
        "qkv gradient all-reduce",
    ]
    after_product = neighbours(passes.forward, "projection all-reduce")
    assert after_product[0] == "projection F"


def test_an_input_gradient_is_summed_before_the_weight_gradient():
    passes = layer_passes(BLOCK, TENSOR, "none")
    assert neighbours(passes.backward, "qkv gradient all-reduce") == ("qkv I", "qkv W")


def test_sequence_parallelism_gathers_before_and_scatters_after():
    passes = layer_passes(BLOCK, SEQUENCE, "none")
    assert messages(passes.forward) == [
        "qkv all-gather",
        "projection reduce-scatter",
        "fc1 all-gather",
        "fc2 reduce-scatter",
    ]
    assert neighbours(passes.forward, "qkv all-gather")[1] == "qkv F"
    assert messages(passes.backward) == [
        "fc2 gradient all-gather",
        "fc1 input all-gather",
        "fc1 gradient reduce-scatter",
        "projection gradient all-gather",
        "qkv input all-gather",
        "qkv gradient reduce-scatter",
    ]


def test_backward_runs_the_operators_in_reverse():
    forward = kernels(layer_passes(BLOCK, WHOLE, "none").forward)
    backward = kernels(layer_passes(BLOCK, WHOLE, "none").backward)
    products = [name.removesuffix(" F") for name in forward if name.startswith("fc")]
    weights = [name for name in backward if name.endswith(" W") and "bias" not in name]
    assert products == ["fc1", "fc2"]
    assert weights == ["fc2 W", "fc1 W", "projection W", "qkv W"]


@pytest.mark.parametrize("share", [WHOLE, TENSOR, SEQUENCE])
def test_full_recomputation_repeats_the_forward_first(share):
    plain = layer_passes(BLOCK, share, "none")
    full = layer_passes(BLOCK, share, "full")
    assert full.forward == plain.forward
    assert leaves(full.backward) == leaves(plain.forward) + leaves(plain.backward)


def test_selective_recomputation_repeats_core_attention_only():
    plain = layer_passes(BLOCK, TENSOR, "none")
    selective = layer_passes(BLOCK, TENSOR, "selective")
    extra = len(leaves(selective.backward)) - len(leaves(plain.backward))
    assert [item.name for item in leaves(selective.backward)[:extra]] == [
        "scores F",
        "softmax F",
        "attention dropout F",
        "context F",
    ]


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_recomputed_work_is_issued_as_a_forward(recompute):
    items = layer_passes(BLOCK, TENSOR, recompute).backward
    phases = [phase for _, phase in flatten(items, "backward")]
    assert phases == sorted(phases, reverse=True)
    assert "forward" in phases


def test_embedding_and_head_are_never_recomputed():
    model = plan().build_model()
    for layer in (model.layers[0], model.layers[-1]):
        plain, full = (layer_passes(layer, TENSOR, r) for r in ("none", "full"))
        assert plain == full


def test_products_that_sum_read_and_write_the_sum_and_nothing_fresh():
    # Of a parameter, a product writes 2 bytes fresh, and adding them moves 2 + 2 · 4.
    # A product that adds moves the fp32 sum twice, 8, in place of all 12.
    apart = Share(samples=1, gradient=4)
    within = Share(samples=1, gradient=4, sums_within=True)
    sizes = [
        sum(item.size for item in leaves(layer_passes(BLOCK, share, "none").backward))
        for share in (apart, within)
    ]
    parameters = sum(
        operator.parameters
        for operator in BLOCK.operators
        if isinstance(operator, Linear)
    )
    assert sizes[0] - sizes[1] == 4 * parameters
