"""Which passes of a schedule run as one: a forward beside a backward of other samples.

Neither needs the other, so that each computes while the other's tokens are on their
way. In a row a pair stands side by side, the forward first, as if the two ran one after
the other; a schedule's pairs are marked beside its rows.

Source: DualPipe, deepseek-ai/DualPipe, dualpipe/dualpipe.py (`step`, steps 4 and 5);
interleaved 1F1B, NVIDIA/Megatron-LM, megatron/core/pipeline_parallel/schedules.py
(`get_pp_rank_microbatches`: one more forward before the first backward, so that no
pair is of one micro-batch).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from simulator.lowering.schedules.actions import Action, Row, Schedule

Pairs = Mapping[Action, Action]
"""The backward pass that runs with each forward pass that has one."""


def of_interleaving(rows: Schedule) -> Pairs:
    """Return the pairs of interleaved 1F1B: a forward and a backward in turn.

    Where all forwards go first, as with no more micro-batches than ranks, the last of
    them is followed by the first backward, but waits for another rank's.
    """
    found: dict[Action, Action] = {}
    for row in rows:
        pairs = dict(_neighbours(row))
        found |= pairs if len(pairs) > 1 else {}
    return found


def of_both_ways(rows: Schedule) -> Pairs:
    """Return the pairs of DualPipe.

    Those of its steps 4 and 5, where a forward of one direction stands before a
    backward of the other; on the two ranks in the middle the first two passes of step 4
    run one after the other, which makes the bubble smaller.
    """
    middle = {len(rows) // 2 - 1, len(rows) // 2}
    found: dict[Action, Action] = {}
    for rank, row in enumerate(rows):
        pairs = list(_neighbours(row))
        found |= dict(pairs[1:] if rank in middle else pairs)
    return found


def _neighbours(row: Row) -> Iterator[tuple[Action, Action]]:
    for action, behind in pairwise(row):
        if action.kind == "F" and behind.kind == "B":
            yield action, behind
