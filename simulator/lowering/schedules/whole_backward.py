"""Schedules that run a backward pass as one: GPipe, 1F1B, interleaved 1F1B.

Source: GPipe, arXiv:1811.06965, figure 2; 1F1B, PipeDream-Flush, arXiv:2006.09503;
interleaved 1F1B, arXiv:2104.04473, section 2.2; its pairs, see `pairs`.
"""

from __future__ import annotations

from simulator.lowering.schedules.actions import Action, Kind, Row


def gpipe(rank: int, microbatches: int) -> Row:
    """Return all forwards, then all backwards."""
    order = range(microbatches)
    forwards = (Action(rank, "F", i) for i in order)
    return (*forwards, *(Action(rank, "B", i) for i in order))


def one_forward_one_backward(rank: int, pipeline: int, microbatches: int) -> Row:
    """Return p - r - 1 forwards, then a forward and a backward in turn."""
    forwards = [Action(rank, "F", i) for i in range(microbatches)]
    backwards = [Action(rank, "B", i) for i in range(microbatches)]
    return _alternate(forwards, backwards, min(pipeline - rank - 1, microbatches))


def interleaved(
    rank: int, pipeline: int, microbatches: int, chunks: int, *, is_paired: bool = False
) -> Row:
    """Return Megatron's order: p micro-batches through each chunk in turn.

    Args:
        rank: r.
        pipeline: p, ranks [1].
        microbatches: m [1].
        chunks: v, virtual stages a rank [1].
        is_paired: whether passes run in pairs, which takes one more forward before
            the first: the last rank has nothing else to run beside a backward.
    """
    total = microbatches * chunks

    def action(position: int, kind: Kind) -> Action:
        group, within = divmod(position, pipeline * chunks)
        chunk, offset = divmod(within, pipeline)
        if kind == "B":
            chunk = chunks - 1 - chunk
        return Action(chunk * pipeline + rank, kind, group * pipeline + offset)

    forwards = [action(i, "F") for i in range(total)]
    backwards = [action(i, "B") for i in range(total)]
    warm_up = (pipeline - rank - 1) * 2 + (chunks - 1) * pipeline + is_paired
    if microbatches == pipeline:
        warm_up = total
    return _alternate(forwards, backwards, min(warm_up, total))


def _alternate(forwards: list[Action], backwards: list[Action], warm_up: int) -> Row:
    """Return `warm_up` forwards, then pairs of forward and backward, then the rest."""
    row = forwards[:warm_up]
    for forward, backward in zip(forwards[warm_up:], backwards, strict=False):
        row += [forward, backward]
    return (*row, *backwards[len(forwards) - warm_up :])
