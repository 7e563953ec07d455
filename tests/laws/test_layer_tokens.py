"""Tokens and experts that some layers divide otherwise than the others.

A small Llama with b samples a micro-batch, m micro-batches, L blocks, s tokens, h
features, g key-value heads of w features; e bytes an activation, also of gradients. Of
a mixture, E experts of 3 · h · f parameters, k of which a token meets.
"""

import pytest

from models.work import Share
from simulator.api import simulate
from simulator.job import prepare
from simulator.lowering.kept import kept_bytes
from simulator.memory.peak import memory
from tests.laws.spread_plans import EXPERTS, HEAD, KV_HEADS, WIDTH, E, G, H, S, spread

B, M, LAYERS, C = 3, 5, 4, 4
OWN = 2 * E * B * (S // C) * KV_HEADS * HEAD  # keys and values of a device
PART = 3 * H * WIDTH  # parameters of an expert
NUM, TOP = EXPERTS["experts"], EXPERTS["top_k"]
MIX = {"experts": EXPERTS}
BOTH = pytest.mark.parametrize("engine", ["analytical", "event"])


def chosen(*rules, **choices):
    """A small Llama with choices for some of its blocks."""
    sizes = {"micro": B, "microbatches": M, "layers": LAYERS}
    tables = [{"match": "block", **rule} for rule in rules]
    return spread(**(sizes | choices)).replace({"parallelism.layers": tables})


def sent(small, engine):
    """The ledger as {(pattern, axis): (bytes, count)}."""
    rows = simulate(small, engine=engine).ledger
    return {(row.op, row.axis): (row.bytes, row.count) for row in rows}


@BOTH
def test_keys_and_values_go_around_in_some_layers_and_are_gathered_in_others(engine):
    """Every second of L = 4 blocks gathers: c K forward and again backward, and
    scatters as much. The other two pass K on c - 1 times forward and
    2 (c - 1) K, in c messages, backward, as in `test_ledger_context`.
    """
    rows = sent(
        chosen({"blocks": "::2", "context_method": "all-gather"}, context=C), engine
    )
    calls = LAYERS // 2 * M
    assert rows["all-gather", "context"] == (calls * 2 * C * OWN, calls * 2)
    assert rows["reduce-scatter", "context"] == (calls * C * OWN, calls)
    around = calls * 3 * (C - 1) * OWN
    assert rows["neighbour-exchange", "context"] == (around, calls * (2 * C - 1))


@BOTH
@pytest.mark.parametrize(("recompute", "forwards"), [("none", 1), ("full", 2)])
def test_blocks_of_whole_samples_gather_tokens_before_and_slice_after(
    recompute, forwards, engine
):
    """Three of L = 4 blocks gather e b s h bytes of tokens in forward, once more where
    the forward is computed again, and sum as many bytes of gradients to where tokens
    came from. Slices cost nothing, and no keys and values go between devices: those of
    the fourth block only.
    """
    rows = sent(
        chosen({"blocks": ":3", "context": 1}, context=C, recompute=recompute), engine
    )
    calls, size = 3 * M, E * B * S * H
    gathers = calls * forwards
    assert rows["all-gather", "context"] == (gathers * size, gathers)
    assert rows["reduce-scatter", "context"] == (calls * size, calls)
    around = M * (forwards + 2) * (C - 1) * OWN
    messages = M * (forwards * (C - 1) + C)
    assert rows["neighbour-exchange", "context"] == (around, messages)


def test_blocks_of_whole_samples_keep_what_one_device_would():
    """L blocks keep activations of c times the tokens; where they compute them again,
    one block has those, and L keep the input of a device's own tokens alone.
    """
    one = {"layers": 2, "microbatches": 1, "micro": 1, "context": C}
    rule = {"blocks": ":", "context": 1}

    def activations(*rules, **choices):
        return memory(prepare(chosen(*rules, **one, **choices)))[0].activations

    block = chosen(**one).build_model().layers[1]
    part = kept_bytes(block, Share(samples=1 / C, context=C), "none")
    more = kept_bytes(block, Share(samples=1), "none") - part
    assert activations(rule) - activations() == 2 * more
    again = {"recompute": "full"}
    assert activations(rule, **again) - activations(**again) == more


@BOTH
def test_layers_whose_experts_all_devices_hold_send_no_token(engine):
    """Of L = 4 blocks three divide their experts over e = 4 of d = 8 devices: four
    all-to-all of e b s k h bytes each in m micro-batches, in d / e groups. Their
    gradients are summed over the d / e devices that hold the same, those of the fourth
    block's experts over all d with the rest: E experts of 3 h f numbers.
    """
    d, e = 8, 4
    rows = sent(chosen({"blocks": "-1", "expert": 1}, data=d, expert=e, **MIX), engine)
    every = sent(chosen(data=d, expert=e, **MIX), engine)
    calls = 4 * (LAYERS - 1) * M * d // e
    size = E * B * S * TOP * H
    assert rows["all-to-all", "expert"] == (calls * size, calls)
    part = G * NUM * PART // e
    groups = e  # of d / e devices with the same experts
    assert rows["all-reduce", "expert-data"][0] == groups * (LAYERS - 1) * part
    more = rows["all-reduce", "data"][0] - every["all-reduce", "data"][0]
    assert more == G * NUM * PART


def test_devices_hold_all_experts_of_such_layers():
    d, e = 8, 4

    def weights(*rules):
        small = chosen(*rules, data=d, expert=e, **MIX)
        return memory(prepare(small))[0].weights

    more = weights({"blocks": "-1", "expert": 1}) - weights()
    assert more == E * NUM * PART * (1 - 1 / e)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "rule",
    [
        {"context": 1},
        {"context_method": "all-gather"},
        {"expert": 1},
        {"expert": 1, "context": 1},
    ],
)
def test_engines_agree_where_layers_divide_tokens_otherwise(rule, zero):
    small = chosen(
        {"blocks": "::2", **rule},
        pipeline=2,
        context=2,
        data=2,
        expert=2,
        overlap=True,
        **MIX,
    ).replace({"parallelism.zero": zero})
    folded = simulate(small)
    unfolded = simulate(small, engine="event", is_folded=False)
    assert unfolded.step_time_s == pytest.approx(folded.step_time_s, rel=1e-9)
    assert unfolded.ledger == folded.ledger


def test_choices_that_are_true_in_any_case_change_nothing():
    rule = {"context": 1, "expert": 1, "tensor": 1, "match": "dense block"}
    experts = {**EXPERTS, "dense_layers": 1}
    del rule["expert"], rule["tensor"]
    with_rule = chosen(rule, data=2, experts=experts)
    without = chosen(data=2, experts=experts)
    assert simulate(with_rule).step_time_s == simulate(without).step_time_s
