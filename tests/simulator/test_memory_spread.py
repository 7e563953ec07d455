"""What a device holds when tokens and experts are spread: by hand."""

import pytest

from simulator.api import simulate
from simulator.job import arrange
from simulator.lowering.kept import kept_bytes, kept_for_weights
from simulator.lowering.staged import make_share
from simulator.memory.stretches import plan_needs
from tests.laws.spread_plans import (
    EXPERTS,
    HEAD,
    KV_HEADS,
    WIDTH,
    E,
    H,
    S,
    V,
    spread,
)

NUM, K = EXPERTS["experts"], EXPERTS["top_k"]


def kept(plan, function=kept_bytes, *more):
    """What the first block of a plan keeps."""
    block = next(layer for layer in plan.build_model().layers if layer.role == "block")
    return function(block, make_share(plan), *more)


def test_a_device_holds_its_experts_and_all_else():
    """2 bytes of weight: E / e experts of 3 · h · f, and what every replica holds.

    That is two tables of V · h, q, k and v of h · (h + 2 · 4 · 8), the projection of
    h², the router of E · h, two gains of h a block, and a last one.
    """
    e, layers = 4, 2
    plan = spread(data=8, expert=e, layers=layers, experts=EXPERTS)
    block = H * (H + 2 * KV_HEADS * HEAD) + H * H + NUM * H + 2 * H
    own = NUM // e * 3 * H * WIDTH
    parameters = 2 * V * H + layers * (block + own) + H
    memory = simulate(plan).memory
    assert memory.weights == 2 * parameters
    assert memory.gradients == 2 * parameters
    assert memory.optimizer == 12 * parameters


@pytest.mark.parametrize("experts", [None, EXPERTS])
@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("context", [2, 4])
def test_activations_are_those_of_a_part_of_the_tokens(context, recompute, experts):
    choices = {"experts": experts, "recompute": recompute, "microbatches": 1}
    alone, part = (
        sum(needs.kept for needs in plan_needs(plan, arrange(plan).stages).values())
        for plan in (spread(**choices), spread(context=context, **choices))
    )
    assert alone == context * part


def test_the_fullest_device_keeps_what_its_rows_need():
    """Of every row beyond the mean: h in, 2 f of gate and up, f in again; e bytes."""
    even, uneven = (
        spread(data=2, expert=2, imbalance=load, experts=EXPERTS, micro=3)
        for load in (1.0, 1.5)
    )
    more = 0.5 * E * 3 * S * K * (H + 3 * WIDTH)
    assert kept(uneven, kept_bytes, "none") == kept(even, kept_bytes, "none") + more
    # From I to W: inputs, and the gradients of 2 f and of h.
    left = 0.5 * E * 3 * S * K * (H + 2 * WIDTH + WIDTH + H)
    weights = [kept(plan, kept_for_weights) for plan in (even, uneven)]
    assert weights[1] == weights[0] + left


def test_rows_gathered_by_tensor_ranks_are_kept_whole():
    """t = 2: of a row h whole, and half of 3 f; half of the tokens' other parts."""
    plan, whole = (
        spread(tensor=t, experts=EXPERTS, sequence=t > 1, micro=3) for t in (2, 1)
    )
    rows = E * 3 * S * K
    inputs = rows * H
    rest = kept(whole, kept_bytes, "none") - inputs
    assert kept(plan, kept_bytes, "none") == inputs + rest / 2
