"""What only a pass needs, by hand: gradients, fresh ones, logits, workspace."""

import pytest

from models.work import Share
from simulator.api import simulate
from simulator.job import arrange
from simulator.lowering.staged import make_share
from simulator.memory.needs import layer_needs
from simulator.memory.peak import peak
from simulator.plan import Plan
from tests.laws.small_plans import plan
from tests.laws.spread_plans import HEAD, KV_HEADS, WIDTH, E, H, S, V, spread

FLASH = {"attention": "flash"}
NETWORK = {
    "model": {"name": "vgg16"},
    "batch": {"global": 32, "micro": 32},
    "training": {"precision": "fp32"},
    "cluster": {"device": "v100-sxm2-16gb", "nodes": 1, "devices_per_node": 1},
}


def needs(given_plan, role, copies=1):
    layers = given_plan.build_model().layers
    layer = next(layer for layer in layers if layer.role == role)
    mesh = given_plan.parallelism
    return layer_needs(
        layer,
        make_share(given_plan),
        "none",
        loss_copies=copies,
        method=mesh.context_method,
    )


def test_a_head_has_two_gradients_a_fresh_one_and_copies_of_the_logits():
    """Of the logits V and their input h a token, and of the table V h, at e bytes each;
    every copy of the logits beside the one that is kept takes 4 bytes.
    """
    gradients, fresh = E * S * (V + H), E * V * H
    head = needs(spread(), "head")
    assert (head.gradients, head.fresh) == (gradients, fresh)
    assert head.both == gradients + fresh
    three = needs(spread(), "head", copies=3)
    assert three.both == head.both + 2 * 4 * S * V
    assert three.kept == head.kept


def test_a_block_has_those_of_its_largest_product():
    """Gate and up are one product of h by 2 f."""
    block = needs(spread(model=FLASH), "block")
    assert block.both == E * (S * (H + 2 * WIDTH) + H * 2 * WIDTH)


def test_sequence_parallelism_gathers_the_input_again():
    """t = 2: of 2 f / t columns, and the input of h whole, twice: again, and its
    gradient.
    """
    t = 2
    block = needs(spread(model=FLASH, tensor=t, sequence=True), "block")
    columns = 2 * WIDTH / t
    assert block.both == E * (S * (2 * H + columns) + H * columns)


@pytest.mark.parametrize(("method", "copies"), [("ring", 2), ("all-gather", 4)])
def test_attention_has_the_keys_of_others(method, copies):
    """c = 4, long samples: beside the gradients of output, queries, keys and values of
    all heads, keys and values in use and arriving, or of all, and their gradients.
    """
    c, length = 4, 512
    small = spread(context=c, method=method, length=length, model=FLASH)
    own = E * length / c * 4 * H
    others = 2 * copies * E * length / c * 2 * KV_HEADS * HEAD
    assert needs(small, "block").gradients == max(
        own + others, E * length / c * (H + 2 * WIDTH)
    )


def test_experts_have_rows_on_both_sides_of_an_exchange():
    """k = 2 rows of h a token, sent and received, where that is most."""
    experts = {"experts": 8, "top_k": 2, "expert_feed_forward": 16}
    small = spread(data=4, expert=4, experts=experts, model=FLASH)
    assert needs(small, "block").gradients == E * S * max(2 * 2 * H, 4 * H)


def test_a_workspace_is_that_of_the_chosen_algorithm():
    """VGG-16's second convolution, of 64 channels on 224 x 224 and 32 samples:
    Winograd's F(4x4, 3x3) has 56 x 56 tiles a sample, each 36 numbers of 4 bytes for
    every channel in and out, and 36 for every filter.
    """
    found = peak(arrange(Plan.from_mapping(NETWORK)))
    assert found.when.endswith("conv1_2")
    assert found.parts.workspace == 4 * 36 * (32 * 56**2 * (64 + 64) + 64 * 64)


def test_gradients_of_a_table_are_none_where_it_is_looked_up():
    assert needs(plan(), "embedding").fresh == 0


def test_the_moment_is_named():
    found = peak(arrange(plan(pipeline=4, microbatches=8)))
    assert found.rank == 0
    assert found.when == "backward of stage 0, micro-batch 0, at block"
    result = simulate(plan(pipeline=4, microbatches=8))
    assert (result.memory_rank, result.memory_when) == (found.rank, found.when)
    written = result.to_json()
    assert written["memory_when"] == found.when
    assert written["memory_rank"] == found.rank
    assert written["memory_allocated_bytes"] == found.parts.allocated
    assert sum(written["memory"].values()) == written["memory_peak_bytes"]


def test_folding_changes_no_memory():
    small = plan(tensor=2, data=2, pipeline=2, overlap=True)
    folded, unfolded = (simulate(small, is_folded=each) for each in (True, False))
    assert folded.memory == unfolded.memory


def test_logits_are_not_dropped_by_a_share():
    one, two = (Share(samples=samples) for samples in (1, 2))
    head = spread().build_model().layers[-1]
    kept = [
        layer_needs(head, share, "none", loss_copies=3, method="ring").gradients
        for share in (one, two)
    ]
    assert kept[1] == 2 * kept[0]
