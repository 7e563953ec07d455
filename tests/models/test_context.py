"""Which part of attention a device of a context-parallel group computes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.context import ring_squares, whole_square
from models.flash_attention import FlashAttention
from models.work import Share


def area(square):
    return square.rows * square.keys * square.filled


def steps(context, **choices):
    """The squares of all steps around a ring."""
    first, other = ring_squares(48, context, **choices)
    return [first] + [other] * (context - 1)


@given(st.sampled_from([1, 2, 3, 4, 6, 8]), st.booleans(), st.booleans())
def test_around_a_ring_a_device_computes_what_it_does_at_once(context, causal, even):
    choices = {"is_causal": causal, "is_balanced": even}
    around = sum(map(area, steps(context, **choices)))
    assert around == pytest.approx(area(whole_square(48, context, **choices)))
    assert sum(each.portion for each in steps(context, **choices)) == pytest.approx(1)


@pytest.mark.parametrize("context", [2, 4, 8])
def test_balanced_devices_share_the_triangle_and_the_last_has_nearly_twice(context):
    even = area(whole_square(48, context, is_causal=True))
    last = area(whole_square(48, context, is_causal=True, is_balanced=False))
    assert context * even == pytest.approx(48 * 48 / 2)
    assert last / even == pytest.approx((2 * context - 1) / context)


def pieces_computed(device, piece_pairs, context):
    """Area that a device with two pieces of 2 c computes, piece by piece."""
    own = (device, 2 * context - 1 - device)
    return sum(
        1.0 if key < query else 0.5 if key == query else 0.0
        for query in own
        for key in piece_pairs
    )


@pytest.mark.parametrize("context", [1, 2, 3, 5])
def test_every_step_of_every_balanced_device_is_the_same_by_counting(context):
    """A piece meets earlier pieces whole and itself by half; a step has two of them."""
    for device in range(context):
        for source in range(context):
            met = (source, 2 * context - 1 - source)
            assert pieces_computed(device, met, context) == 2.0
    first, other = ring_squares(2 * context, context, is_causal=True)
    assert (area(first), area(other)) == (2.0, 2.0)


@given(
    context=st.sampled_from([1, 2, 4]),
    tensor=st.sampled_from([1, 2]),
    causal=st.booleans(),
)
def test_devices_need_as_many_flop_as_one(context, tensor, causal):
    attention = FlashAttention("attention", 8, 64, 16, causal, kv_heads=4)
    alone, part = Share(3), Share(3 / context, tensor, context=context)
    for direction in ("forward", "backward_input"):
        (one,), (mine,) = (
            getattr(attention, direction)(share) for share in (alone, part)
        )
        assert one.flop == pytest.approx(context * tensor * mine.flop)
        executed = [w.rows * w.columns * w.inner * w.batch for w in (one, mine)]
        assert executed[0] == pytest.approx(context * tensor * executed[1])
