"""Blocks chosen by number: which they are, and what recomputing them costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.work import Share
from simulator.api import simulate
from simulator.job import prepare
from simulator.lowering.kept import kept_bytes
from simulator.memory.peak import memory
from simulator.plans.chosen_blocks import numbers
from simulator.reporting.report import text_report
from tests.laws.small_plans import plan

S, H = 32, 64  # tokens, features
WIDE = 2  # bytes of fp16


def chosen(*rules, **choices):
    """A small GPT with choices for some of its blocks."""
    tables = [{"match": "block", "recompute": "full", **rule} for rule in rules]
    return plan(**choices).replace({"parallelism.layers": tables})


def marked(small):
    """Whether a choice by number holds for each block, in order."""
    blocks = [x for x in small.build_model().layers if x.role == "block"]
    return [bool(block.choices) for block in blocks]


@given(
    st.integers(1, 12),
    st.one_of(st.none(), st.integers(-14, 14)),
    st.one_of(st.none(), st.integers(-14, 14)),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_slices_are_those_of_python(count, first, end, step):
    said = ["" if each is None else str(each) for each in (first, end, step)]
    assert frozenset(range(count)[first:end:step]) == numbers(":".join(said), count)


def test_several_numbers_are_all_that_are_named():
    assert frozenset({0, 1, 5, 7}) == numbers(" :2, 5 ,-1", 8)


def test_blocks_are_counted_in_the_model_or_in_each_stage():
    of_model = chosen({"blocks": ":3"}, layers=8, pipeline=2)
    assert marked(of_model) == [True] * 3 + [False] * 5
    of_stages = chosen({"stage_blocks": ":3"}, layers=8, pipeline=2)
    assert marked(of_stages) == ([True] * 3 + [False]) * 2
    both = chosen({"stage_blocks": "::2", "blocks": "4:"}, layers=8, pipeline=2)
    assert marked(both) == [False] * 4 + [True, False] * 2


def test_blocks_of_uneven_stages_are_counted_in_each():
    uneven = chosen({"stage_blocks": "-1"}, layers=4, pipeline=2)
    uneven = uneven.replace({"parallelism.stages": [1, 3]})
    assert marked(uneven) == [True, False, False, True]


def test_blocks_under_the_same_tables_are_one_object():
    model = chosen({"blocks": "::2"}, layers=8).build_model()
    assert len(set(model.layers)) == 1 + 2 + 1
    plain = plan(layers=8)
    assert plain.build_model().layers[1] is model.layers[2]


@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_only_chosen_blocks_send_a_second_time(engine):
    """Two tensor ranks sum s h fp16 numbers twice in a block's forward and twice in its
    backward; a block that is computed again sums the former once more. L = 8 blocks, of
    which k = 3 in each of two stages, and m = 4 micro-batches:

        m (4 L + 2 · 2 k) messages of s h e bytes, and, for embedding and head, as
        without recomputation.
    """
    layers, k, m = 8, 3, 4
    choices = {"layers": layers, "pipeline": 2, "tensor": 2, "microbatches": m}

    def sums(small):
        found = simulate(small, engine=engine).ledger
        (row,) = [r for r in found if (r.op, r.axis) == ("all-reduce", "tensor")]
        return row.count, row.bytes

    none, some = sums(plan(**choices)), sums(chosen({"stage_blocks": ":3"}, **choices))
    more = m * 2 * 2 * k
    assert (none[0] + more, none[1] + more * S * H * WIDE) == some
    every = sums(plan(**choices, recompute="full"))
    assert every == sums(chosen({"blocks": ":"}, **choices))


def test_chosen_blocks_keep_their_input_alone():
    """Of a stage with one micro-batch on its way: L - k blocks keep all that backward
    needs, k their input of 2 s h bytes. The fullest moment is the backward of the last
    block, if that was kept: nothing is there a second time.
    """
    layers, k = 6, 4
    block = plan().build_model().layers[1]
    whole = kept_bytes(block, Share(samples=1), "none")
    saved = k * (whole - WIDE * S * H)
    none, _ = memory(prepare(plan(layers=layers, microbatches=1)))
    some, _ = memory(prepare(chosen({"blocks": ":4"}, layers=layers, microbatches=1)))
    assert none.activations - saved == some.activations


@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_time_of_recomputation_is_between_none_and_full(engine):
    heavy = {"hidden": 4096, "layers": 8, "length": 2048, "micro": 4}
    none = simulate(plan(**heavy), engine=engine).step_time_s
    some = simulate(chosen({"blocks": ":2"}, **heavy), engine=engine).step_time_s
    full = simulate(plan(**heavy, recompute="full"), engine=engine).step_time_s
    # Two of eight blocks are repeated, on a device that never waits for its host.
    assert (full - none) / 4 == pytest.approx(some - none, rel=1e-6)


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved", "zb-h1"])
def test_engines_agree_on_chosen_blocks(schedule):
    chunks = 2 if schedule == "interleaved" else 1
    small = chosen(
        {"stage_blocks": ":1"},
        layers=8,
        pipeline=2,
        data=2,
        schedule=schedule,
        chunks=chunks,
        overlap=True,
    )
    folded = simulate(small)
    unfolded = simulate(small, engine="event", is_folded=False)
    assert unfolded.step_time_s == pytest.approx(folded.step_time_s, rel=1e-9)
    assert unfolded.ledger == folded.ledger


def test_the_report_says_which_blocks():
    said = chosen({"stage_blocks": ":1", "blocks": "::2"}, layers=4, pipeline=2)
    line = "layers block, blocks ::2, blocks :1 of each stage: recompute full"
    assert line in text_report(simulate(said))
