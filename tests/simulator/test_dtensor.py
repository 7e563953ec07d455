"""What torch's sequence parallelism does otherwise, by hand.

A Llama block on one of t = 4 tensor ranks, of s = 32 tokens a sample and h = 64
features: one collective carries s h numbers a sample, in two bytes each.
"""

import pytest

from models.work import Share, Work
from simulator.lowering.passes import layer_passes
from simulator.lowering.ways import Ways
from simulator.workload import Beside, Message, flatten
from tests.laws.spread_plans import E, H, S, spread

T, SAMPLES = 4, 2
SHARE = Share(samples=SAMPLES, tensor=T, sequence=T)
WHOLE = SAMPLES * S * H * E
BLOCK = spread(model={"attention": "flash"}).build_model().layers[1]
TORCH = Ways(is_torch=True)
CHUNKS = Ways(is_torch=True, is_async=True)


def block(recompute="none", ways=TORCH, share=SHARE):
    return layer_passes(BLOCK, share, recompute, ways)


def items(half):
    return [item for item, _ in flatten(tuple(half), "forward")]


def sent(half):
    """Patterns of tensor collectives outside of chunks, all-reduces of gains apart."""
    each = [item for item in items(half) if isinstance(item, Message)]
    return [message.pattern for message in each if message.pattern != "all-reduce"]


def copied(half):
    """Bytes of the copies that put tokens in order."""
    works = [item for item in items(half) if isinstance(item, Work)]
    return [work.size for work in works if work.name.endswith("order")]


def test_tokens_of_several_samples_are_copied_into_and_out_of_blocks():
    """Each of four collectives: s h numbers a sample are read and written once."""
    assert [2 * WHOLE] * 4 == copied(block().forward) == copied(block().backward)
    one = Share(samples=1, tensor=T, sequence=T)
    assert copied(block(share=one).forward) == []
    assert copied(block(ways=Ways()).forward) == []


def test_backward_keeps_what_was_gathered():
    """Gradients of both outputs are gathered, those of both inputs scattered."""
    assert sent(block().forward) == ["all-gather", "reduce-scatter"] * 2
    assert sent(block().backward) == ["all-gather", "reduce-scatter"] * 2
    assert sent(block(ways=Ways()).backward) == [
        *("all-gather", "all-gather", "reduce-scatter") * 2
    ]


def test_full_recomputation_sends_no_last_sum():
    """Before the four of backward: gather, scatter, gather, and no scatter."""
    again = ["all-gather", "reduce-scatter", "all-gather"]
    stopped = block("full", TORCH._replace(stops=True)).backward
    assert sent(stopped) == [*again, *sent(block().backward)]
    whole = block("full").backward
    assert sent(whole) == [*again, "reduce-scatter", *sent(block().backward)]


def test_recomputation_by_operators_gathers_inputs_again():
    again = sent(block("operators").backward)
    assert again == ["all-gather"] * 2 + sent(block().backward)


def test_gradients_of_inputs_are_not_sent_in_chunks():
    """They are sums of several products: gate and up; queries, keys and values."""
    assert sent(block(ways=CHUNKS).forward) == []
    assert sent(block(ways=CHUNKS).backward) == ["reduce-scatter"] * 2
    chunked = [
        item.message.pattern
        for item in items(block(ways=CHUNKS).backward)
        if isinstance(item, Beside)
    ]
    assert chunked == ["all-gather"] * 2
    assert copied(block(ways=CHUNKS).forward) == []


def test_what_is_narrow_is_gathered_narrow():
    """fp8: gathers carry one byte a number, sums two."""
    share = Share(samples=SAMPLES, tensor=T, sequence=T, operand=1.0)
    sizes = {
        message.pattern: message.size
        for message in items(block(share=share).forward)
        if isinstance(message, Message)
    }
    assert sizes == {"all-gather": WHOLE / 2, "reduce-scatter": WHOLE}


@pytest.mark.parametrize("kernels", ["eager", "compiled"])
def test_a_llama_of_torch_multiplies_by_each_matrix(kernels):
    """Queries h, keys and values g = h / 2 each; gate and up; sums of 3 and 2."""
    own = spread(model={"attention": "flash", "kernels": kernels}).build_model()
    apart = layer_passes(own.layers[1], Share(samples=1), "none")
    works = [item for item in items(apart.forward) if isinstance(item, Work)]
    columns = [work.columns for work in works if work.name == "qkv F"]
    assert columns == [H, H / 2, H / 2]
    sums = [
        item.size
        for item in items(apart.backward)
        if isinstance(item, Work) and item.name.endswith("sum I")
    ]
    assert sums == [E * S * H * 3, E * S * H * 4]
    joined = layer_passes(BLOCK, Share(samples=1), "none")
    flop = [
        sum(work.flop for work in items(half) if isinstance(work, Work))
        for passes in (apart, joined)
        for half in (passes.forward, passes.backward)
    ]
    assert flop[:2] == flop[2:]
