"""Cutting a model where its stages take equally long, as nearly as layers allow."""

from __future__ import annotations

from itertools import accumulate, pairwise

from topologies.units import Seconds


def balanced_sizes(
    blocks: tuple[Seconds, ...],
    num_stages: int,
    before: Seconds = 0.0,
    after: Seconds = 0.0,
) -> tuple[int, ...]:
    """Return how many blocks each stage has when the slowest stage is fastest.

    The least over contiguous cuts of the longest stage, by dynamic programming:

        T(k, j) = min over i < j of max(T(k - 1, i), time of blocks i … j - 1)

    Args:
        blocks: time of each block's passes, in order [s].
        num_stages: at most as many as blocks [1].
        before: what the first stage does beside its blocks [s].
        after: what the last stage does beside its blocks [s].

    Source: derived above.

    >>> balanced_sizes((1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 3, after=1.0)
    (2, 2, 2)
    >>> balanced_sizes((1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 3, after=1.5)
    (2, 3, 1)
    """
    count = len(blocks)
    until = [0.0, *accumulate(blocks)]
    longest = [0.0, *(before + until[j] for j in range(1, count + 1))]
    cuts: list[list[int]] = []
    for stage in range(1, num_stages):
        extra = after if stage == num_stages - 1 else 0.0
        row, chosen = [float("inf")] * (count + 1), [0] * (count + 1)
        for j in range(stage + 1, count + 1):
            for i in range(stage, j):
                time = max(longest[i], until[j] - until[i] + extra)
                if time < row[j]:
                    row[j], chosen[j] = time, i
        longest = row
        cuts.append(chosen)
    ends = [count]
    for chosen in reversed(cuts):
        ends.append(chosen[ends[-1]])
    ends.append(0)
    ends.reverse()
    return tuple(end - begin for begin, end in pairwise(ends))
