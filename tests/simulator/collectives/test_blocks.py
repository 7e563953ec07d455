"""Rounds executed block by block leave everyone with what the pattern promises.

For each participant and block the oracle counts what is in it: how often each rank's
contribution has been added.
"""

import numpy as np
import pytest
from hypothesis import given, settings

from simulator.collectives import TABLE
from simulator.collectives.rounds import NO_BLOCK
from tests.simulator.collectives.test_costs import cases

laws = settings(derandomize=True, deadline=None, max_examples=30, database=None)
CASE = (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16)


def executed(steps, held):
    """What participants hold in the end; `held[participant, block, rank]` counts."""
    for step in steps:
        for repetition in range(step.round.count):
            blocks = step.blocks(repetition)
            assert len(blocks) == len(step.round.sender)
            before = held.copy()
            into = set()
            for sender, receiver, adds, row in zip(
                step.round.sender, step.round.receiver, step.adds, blocks, strict=True
            ):
                for block in row[row != NO_BLOCK]:
                    # Nobody sends what he has nothing of.
                    assert before[sender, block].any()
                    # Nor are two replacements, or both kinds, let into one block.
                    assert adds or (receiver, block) not in into
                    into.add((receiver, block))
                    if adds:
                        held[receiver, block] += before[sender, block]
                    else:
                        held[receiver, block] = before[sender, block]
    return held


def outcome(row, num_ranks, size, options, begin):
    """Run a row from what `begin(participants, blocks, ranks)` gives everyone."""
    steps = row.sends(num_ranks, size, options)
    num_blocks = steps[0].num_blocks if steps else num_ranks
    assert all(step.num_blocks == num_blocks for step in steps)
    participants = row.num_participants(num_ranks, options) + row.is_in_switch
    held = np.zeros((participants, num_blocks, num_ranks), np.int64)
    begin(held, options)
    return executed(steps, held)


def own_buffers(held, _options):
    for rank in range(held.shape[2]):
        held[rank, :, rank] = 1


def own_block(held, _options):
    for rank in range(held.shape[2]):
        held[rank, rank, rank] = 1


def buffer_of_root(held, options):
    held[options.root, :, options.root] = 1


def blocks_of_root(held, options):
    for rank in range(held.shape[2]):
        held[options.root, rank, rank] = 1


def blocks_for_all(held, _options):
    num_ranks = held.shape[2]
    for rank in range(num_ranks):
        held[rank, rank * num_ranks : (rank + 1) * num_ranks, rank] = 1


def of(pattern):
    found = [row for row in TABLE.values() if row.pattern == pattern]
    return pytest.mark.parametrize("row", found, ids=lambda row: row.name)


def is_possible(row, num_ranks, options):
    return num_ranks > 1 and not row.allows(num_ranks, options)


@of("all-reduce")
@given(case=cases())
@laws
def test_all_reduce_gives_everyone_every_contribution_once(row, case):
    num_ranks, size, options = case[0], min(case[1], 1e5), case[2]
    if is_possible(row, num_ranks, options):
        held = outcome(row, num_ranks, size, options, own_buffers)
        assert (held[:num_ranks] == 1).all()


@of("reduce-scatter")
@given(case=cases())
@laws
def test_reduce_scatter_gives_each_its_block_once(row, case):
    if is_possible(row, case[0], case[2]):
        held = outcome(row, *case, own_buffers)
        assert all((held[rank, rank] == 1).all() for rank in range(case[0]))


@of("all-gather")
@given(case=cases())
@laws
def test_all_gather_gives_everyone_every_block(row, case):
    if is_possible(row, case[0], case[2]):
        held = outcome(row, *case, own_block)
        assert (held == np.eye(case[0])).all()


@of("broadcast")
@given(case=cases())
@laws
def test_broadcast_gives_everyone_the_buffer_of_the_root(row, case):
    num_ranks, size, options = case[0], min(case[1], 1e5), case[2]
    if is_possible(row, num_ranks, options):
        held = outcome(row, num_ranks, size, options, buffer_of_root)
        assert (held == np.eye(num_ranks)[options.root]).all()


@of("reduce")
@given(case=cases())
@laws
def test_reduce_gives_the_root_every_contribution_once(row, case):
    num_ranks, size, options = case[0], min(case[1], 1e5), case[2]
    if is_possible(row, num_ranks, options):
        held = outcome(row, num_ranks, size, options, own_buffers)
        assert (held[options.root] == 1).all()


@of("gather")
@given(case=cases())
@laws
def test_gather_gives_the_root_every_block(row, case):
    if is_possible(row, case[0], case[2]):
        held = outcome(row, *case, own_block)
        assert (held[case[2].root] == np.eye(case[0])).all()


@of("scatter")
@given(case=cases())
@laws
def test_scatter_gives_each_its_block(row, case):
    if is_possible(row, case[0], case[2]):
        held = outcome(row, *case, blocks_of_root)
        assert all(held[rank, rank, rank] == 1 for rank in range(case[0]))


@of("all-to-all")
@pytest.mark.parametrize("num_ranks", CASE)
@given(case=cases())
@settings(laws, max_examples=4)
def test_all_to_all_gives_each_what_every_other_has_for_it(row, num_ranks, case):
    options = case[2]
    if is_possible(row, num_ranks, options):
        held = outcome(row, num_ranks, case[1], options, blocks_for_all)
        for rank in range(num_ranks):
            assert (held[rank, rank::num_ranks] == np.eye(num_ranks)).all()


@of("push")
@given(case=cases())
@laws
def test_push_adds_every_worker_once_at_every_server(row, case):
    num_ranks, _, options = case
    if is_possible(row, num_ranks, options):
        held = outcome(row, *case, own_buffers)
        first = 0 if options.is_colocated else num_ranks
        servers = range(held.shape[1])
        assert all((held[first + part, part] == 1).all() for part in servers)


@of("pull")
@given(case=cases())
@laws
def test_pull_gives_every_worker_every_part(row, case):
    num_ranks, _, options = case

    def parts(held, options):
        first = 0 if options.is_colocated else num_ranks
        for part in range(held.shape[1]):
            held[first + part, part] = 1

    if is_possible(row, num_ranks, options):
        assert (outcome(row, *case, parts)[:num_ranks] == 1).all()


@of("barrier")
@pytest.mark.parametrize("num_ranks", range(1, 33))
def test_after_a_barrier_everyone_has_heard_of_all(row, num_ranks):
    heard = np.eye(num_ranks, dtype=bool)
    for part in row.rounds(num_ranks, 0.0):
        before = heard.copy()
        for sender, receiver in zip(part.sender, part.receiver, strict=True):
            heard[receiver] |= before[sender]
    assert heard.all()


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda r: f"{r.pattern}-{r.name}")
@given(case=cases())
@laws
def test_sizes_are_those_of_the_blocks(row, case):
    num_ranks, size, options = case
    if row.pattern in {"barrier", "neighbour-exchange"} or row.allows(
        num_ranks, options
    ):
        return
    whole = size * num_ranks if row.pattern == "all-to-all" else size
    for step in row.sends(num_ranks, size, options):
        carried = (step.blocks(0) != NO_BLOCK).sum(axis=1) * whole / step.num_blocks
        assert step.round.size == pytest.approx(carried, rel=1e-12)
        assert step.blocks(step.round.count - 1).max() < step.num_blocks


def test_inner_ranks_of_one_tree_are_leaves_of_the_other():
    for num_ranks in range(2, 130):
        steps = TABLE["all-reduce", "double-binary-tree"].sends(num_ranks, 1.0)
        half = steps[0].num_blocks // 2
        inner = [set(), set()]
        for step in steps:
            is_up = step.adds
            tree = step.blocks(0)[:, 0] >= half
            for which in (0, 1):
                inner[which] |= set(step.round.receiver[is_up & (tree == which)])
        assert not inner[0] & inner[1]
