"""Rows in torch's words: the passes of the schedule, and messages that meet."""

from itertools import product

import pytest

pytest.importorskip("torch.distributed.pipelining")

from calibration.torch_engine.splits.worded import torch_rows, ways_of
from simulator.lowering.schedules.table import DESIGNS, schedule

PIPELINE = 4


def rows_of(name):
    chunks = DESIGNS[name].chunks or 2
    return schedule(name, PIPELINE, 3 * PIPELINE, chunks)


@pytest.mark.parametrize("name", DESIGNS)
def test_passes_are_those_of_the_schedule_in_its_order(name):
    """DualPipe's second way has numbers of its own: five more, for four stages."""
    rows = rows_of(name)
    ways = ways_of(rows)
    assert len(ways.paths) == (2 if name == "dualpipe" else 1)
    for rank, words in torch_rows(rows, ways).items():
        passes = [str(word) for word in words if word.computation_type.value in "FBIW"]
        assert passes == [
            f"{action.stage + 5 * ways.of[action.microbatch]}{action.kind}"
            f"{action.microbatch}"
            for action in rows[rank]
        ]


@pytest.mark.parametrize("name", DESIGNS)
def test_two_ranks_list_what_is_between_them_in_the_same_order(name):
    rows = rows_of(name)
    ways = ways_of(rows)
    named, ranks = torch_rows(rows, ways), ways.ranks()
    for sender, receiver in product(named, named):
        sent, received = [], []
        for word in named[sender]:
            kind, step = word.computation_type.name, 0
            if kind.startswith("SEND"):
                step = 1 if kind.endswith("F") else -1
            if step and ranks[word.stage_index + step] == receiver:
                sent.append((word.stage_index + step, kind[-1], word.microbatch_index))
        for word in named[receiver]:
            kind, step = word.computation_type.name, 0
            if kind.startswith("RECV"):
                step = 1 if kind.endswith("F") else -1
            if step and ranks[word.stage_index - step] == sender:
                received.append((word.stage_index, kind[-1], word.microbatch_index))
        assert sent == received
        assert bool(sent) == (abs(sender - receiver) in {1, *wrapped(name)})


def wrapped(name):
    """The distance of the last rank from the first, where stages go around."""
    return {PIPELINE - 1} if name == "interleaved" else set()
