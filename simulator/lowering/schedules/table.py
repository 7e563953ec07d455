"""The schedules by name: their rows, what they need, and where their stages sit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from simulator.lowering.schedules.actions import Row, Schedule
from simulator.lowering.schedules.automatic import Times, automatic
from simulator.lowering.schedules.pairs import Pairs, of_both_ways, of_interleaving
from simulator.lowering.schedules.two_directions import dual, vee
from simulator.lowering.schedules.whole_backward import (
    gpipe,
    interleaved,
    one_forward_one_backward,
)
from simulator.lowering.schedules.zero_bubble import zero_bubble
from topologies.units import Count


class Shape(NamedTuple):
    """What a schedule is written for.

    Fields:
        pipeline: p, ranks [1].
        microbatches: m [1].
        chunks: v, virtual stages a rank [1].
        times: that an automatic schedule goes by.
        limit: micro-batches that it may keep, in multiples of p [1].
        is_paired: whether passes are to run in pairs, where they can.
    """

    pipeline: int
    microbatches: int
    chunks: int = 1
    times: Times = Times()
    limit: Count = 1.0
    is_paired: bool = False


Placement = tuple[tuple[int, ...], ...]
"""The ranks that hold each stage, in the order of the stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """One kind of schedule.

    Fields:
        rows: of a shape that it allows.
        allows: what is wrong with a shape; empty if nothing is.
        placement: ranks of each stage, of p and v.
        chunks: virtual stages a rank; None if that is free [1].
        has_parts: whether backward passes are in two parts, so that sends follow
            each other on streams of their own.
        pairs: of passes in its rows that may run as one; None if none may.
        is_paired: whether those do, unless a plan says otherwise.
    """

    rows: Callable[[Shape], Schedule]
    allows: Callable[[Shape], str]
    placement: Callable[[int, int], Placement]
    chunks: int | None = 1
    has_parts: bool = True
    pairs: Callable[[Schedule], Pairs] | None = None
    is_paired: bool = False


def schedule(  # noqa: PLR0913 - the fields of a shape
    name: str,
    pipeline: int,
    microbatches: int,
    chunks: int = 1,
    *,
    times: Times = Times(),  # noqa: B008 - immutable
    limit: Count = 1.0,
    is_paired: bool = False,
) -> Schedule:
    """Return the rows of a named schedule, one per pipeline rank.

    Args:
        name: one of `DESIGNS`.
        pipeline: p, ranks [1].
        microbatches: m [1].
        chunks: v, virtual stages a rank; above 1 for `interleaved` only [1].
        times: that an automatic schedule goes by.
        limit: micro-batches that it may keep, in multiples of p [1].
        is_paired: whether passes are to run in pairs, where they can.
    """
    shape = Shape(pipeline, microbatches, chunks, times, limit, is_paired)
    return DESIGNS[name].rows(shape)


def _loop(pipeline: int, chunks: int) -> Placement:
    return tuple((stage % pipeline,) for stage in range(pipeline * chunks))


def _fold(pipeline: int, _: int) -> Placement:
    down = [(rank,) for rank in range(pipeline)]
    return (*down, *reversed(down))


def _both_ways(pipeline: int, _: int) -> Placement:
    return tuple(tuple(sorted({rank, pipeline - 1 - rank})) for rank in range(pipeline))


def _rank_by_rank(row: Callable[[int, Shape], Row]) -> Callable[[Shape], Schedule]:
    """Return a function of a shape from one of a rank and a shape."""
    return lambda shape: tuple(row(rank, shape) for rank in range(shape.pipeline))


def _anything(_: Shape) -> str:
    return ""


def _in_rounds(shape: Shape) -> str:
    if shape.pipeline < 2:
        return "needs a pipeline of at least 2"
    if shape.microbatches % shape.pipeline:
        return "takes micro-batches in rounds of the pipeline"
    return ""


def _twice_the_pipeline(shape: Shape) -> str:
    least = 2 * shape.pipeline
    if shape.microbatches < least:
        return f"needs at least 2 x {shape.pipeline} = {least} micro-batches"
    return ""


def _in_two_halves(shape: Shape) -> str:
    if shape.pipeline % 2:
        return "needs an even pipeline"
    if shape.microbatches % 2:
        return "needs an even number of micro-batches"
    return _twice_the_pipeline(shape)


DESIGNS: dict[str, Design] = {
    "gpipe": Design(
        rows=_rank_by_rank(lambda rank, shape: gpipe(rank, shape.microbatches)),
        allows=_anything,
        placement=_loop,
        has_parts=False,
    ),
    "1f1b": Design(
        rows=_rank_by_rank(
            lambda rank, shape: one_forward_one_backward(
                rank, shape.pipeline, shape.microbatches
            )
        ),
        allows=_anything,
        placement=_loop,
        has_parts=False,
    ),
    "interleaved": Design(
        rows=_rank_by_rank(
            lambda rank, shape: interleaved(
                rank,
                shape.pipeline,
                shape.microbatches,
                shape.chunks,
                is_paired=shape.is_paired,
            )
        ),
        allows=_in_rounds,
        placement=_loop,
        chunks=None,
        has_parts=False,
        pairs=of_interleaving,
    ),
    "zb-h1": Design(
        rows=_rank_by_rank(
            lambda rank, shape: zero_bubble(rank, shape.pipeline, shape.microbatches, 1)
        ),
        allows=_anything,
        placement=_loop,
    ),
    "zb-h2": Design(
        rows=_rank_by_rank(
            lambda rank, shape: zero_bubble(rank, shape.pipeline, shape.microbatches, 2)
        ),
        allows=_anything,
        placement=_loop,
    ),
    "zb-auto": Design(
        rows=lambda shape: automatic(
            shape.pipeline,
            shape.microbatches,
            shape.times,
            shape.limit * shape.pipeline,
        ),
        allows=_anything,
        placement=_loop,
    ),
    "zb-v": Design(
        rows=_rank_by_rank(
            lambda rank, shape: vee(rank, shape.pipeline, shape.microbatches)
        ),
        allows=_twice_the_pipeline,
        placement=_fold,
        chunks=2,
    ),
    "dualpipe": Design(
        rows=_rank_by_rank(
            lambda rank, shape: dual(rank, shape.pipeline, shape.microbatches)
        ),
        allows=_in_two_halves,
        placement=_both_ways,
        pairs=of_both_ways,
        is_paired=True,
    ),
}
