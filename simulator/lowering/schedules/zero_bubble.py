"""Zero-bubble schedules by hand: the backward pass in two parts, one stage a rank.

A stage's weight gradients are needed by nobody before the optimizer, so they wait
until there is nothing better to do.

Source: Qi et al., arXiv:2401.10241, section 2 (ZB-H1, ZB-H2); the exact order from
its authors' `efficiency.py`, sail-sg/zero-bubble-pipeline-parallelism, whose bubbles
are those of table 5.
"""

from __future__ import annotations

from simulator.lowering.schedules.actions import Action, Row


def zero_bubble(rank: int, pipeline: int, microbatches: int, depth: int) -> Row:
    """Return a rank's row: depth · (p - r - 1) forwards, then F and I in turn.

    W begins after depth · r of the I, so that every rank keeps as many micro-batches,
    depth · (p - 1) + 1, and ends without a gap.

    Args:
        rank: r.
        pipeline: p [1].
        microbatches: m [1].
        depth: 1 for ZB-H1, which keeps what 1F1B does; 2 for ZB-H2 [1].
    """
    warm_up = min(depth * (pipeline - 1 - rank), microbatches)
    row = [Action(rank, "F", i) for i in range(warm_up)]
    done = 0
    for i in range(microbatches):
        if warm_up + i < microbatches:
            row.append(Action(rank, "F", warm_up + i))
        row.append(Action(rank, "I", i))
        if i >= depth * rank:
            row.append(Action(rank, "W", done))
            done += 1
    return (*row, *(Action(rank, "W", i) for i in range(done, microbatches)))
