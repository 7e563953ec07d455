"""Pipeline schedules as data: one row of actions per pipeline rank.

`2F0` is stage 2, forward, micro-batch 0; rows are comma-separated text and round-trip.
Stages are virtual stages: with v chunks a rank, rank r owns stages r, r+p, r+2p, …

Source: GPipe, arXiv:1811.06965, figure 2; 1F1B, PipeDream-Flush, arXiv:2006.09503;
interleaved 1F1B, arXiv:2104.04473, section 2.2.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from typing_extensions import override

Kind = Literal["F", "B"]
_ACTION = re.compile(r"(\d+)([FB])(\d+)")


class Action(NamedTuple):
    """One pass of one micro-batch through one stage.

    Fields:
        stage: virtual stage, 0 … p·v - 1.
        kind: `F` forward or `B` backward for inputs and weights.
        microbatch: 0 … m - 1.
    """

    stage: int
    kind: Kind
    microbatch: int

    @override
    def __str__(self) -> str:
        """Return such as `2F0`."""
        return f"{self.stage}{self.kind}{self.microbatch}"

    @classmethod
    def parse(cls, text: str) -> Action:
        """Return the action that `text` writes, such as `2F0`.

        Raises:
            ValueError: the text is no action.
        """
        match = _ACTION.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"'{text}' is no action; write such as '2F0' or '0B3'")
        stage, kind, microbatch = match.groups()
        return cls(int(stage), "F" if kind == "F" else "B", int(microbatch))


Schedule = tuple[tuple[Action, ...], ...]


def schedule(name: str, pipeline: int, microbatches: int, chunks: int = 1) -> Schedule:
    """Return the rows of a named schedule, one per pipeline rank.

    Args:
        name: `gpipe`, `1f1b` or `interleaved`.
        pipeline: p, ranks [1].
        microbatches: m [1].
        chunks: v, virtual stages a rank; above 1 for `interleaved` only [1].
    """
    if name == "gpipe":
        return tuple(_gpipe(rank, microbatches) for rank in range(pipeline))
    if name == "1f1b":
        return tuple(
            _one_forward_one_backward(rank, pipeline, microbatches)
            for rank in range(pipeline)
        )
    return tuple(
        _interleaved(rank, pipeline, microbatches, chunks) for rank in range(pipeline)
    )


def dump_schedule(rows: Schedule) -> str:
    """Return the rows as text, one line per rank."""
    return "\n".join(",".join(map(str, row)) for row in rows) + "\n"


def load_schedule(text: str) -> Schedule:
    """Return the rows that `dump_schedule` wrote."""
    return tuple(
        tuple(Action.parse(word) for word in line.split(","))
        for line in text.splitlines()
        if line.strip()
    )


def _gpipe(rank: int, microbatches: int) -> tuple[Action, ...]:
    order = range(microbatches)
    forwards = (Action(rank, "F", i) for i in order)
    return (*forwards, *(Action(rank, "B", i) for i in order))


def _alternate(
    forwards: list[Action], backwards: list[Action], warm_up: int
) -> tuple[Action, ...]:
    """Return `warm_up` forwards, then pairs of forward and backward, then the rest."""
    row = forwards[:warm_up]
    for forward, backward in zip(forwards[warm_up:], backwards, strict=False):
        row += [forward, backward]
    return (*row, *backwards[len(forwards) - warm_up :])


def _one_forward_one_backward(
    rank: int, pipeline: int, microbatches: int
) -> tuple[Action, ...]:
    forwards = [Action(rank, "F", i) for i in range(microbatches)]
    backwards = [Action(rank, "B", i) for i in range(microbatches)]
    return _alternate(forwards, backwards, min(pipeline - rank - 1, microbatches))


def _interleaved(
    rank: int, pipeline: int, microbatches: int, chunks: int
) -> tuple[Action, ...]:
    """Return Megatron's order: p micro-batches through each chunk in turn."""
    total = microbatches * chunks

    def action(position: int, kind: Kind) -> Action:
        group, within = divmod(position, pipeline * chunks)
        chunk, offset = divmod(within, pipeline)
        if kind == "B":
            chunk = chunks - 1 - chunk
        return Action(chunk * pipeline + rank, kind, group * pipeline + offset)

    forwards = [action(i, "F") for i in range(total)]
    backwards = [action(i, "B") for i in range(total)]
    warm_up = (pipeline - rank - 1) * 2 + (chunks - 1) * pipeline
    if microbatches == pipeline:
        warm_up = total
    return _alternate(forwards, backwards, min(warm_up, total))


def in_flight(row: tuple[Action, ...]) -> int:
    """Return the most forwards of a rank whose backward has not run [1]."""
    depth = peak = 0
    for action in row:
        depth += 1 if action.kind == "F" else -1
        peak = max(peak, depth)
    return peak


def check(rows: Schedule) -> None:
    """Raise ValueError, with the grid and an arrow, if a schedule cannot run.

    Each stage's forward must precede its backward, each pass appear once, and no
    rank may wait for a pass that is behind one that waits for it.
    """
    num_stages = 1 + max(action.stage for row in rows for action in row)
    done: set[Action] = set()
    position = [0] * len(rows)
    is_moving = True
    while is_moving:
        is_moving = False
        for rank, row in enumerate(rows):
            while position[rank] < len(row):
                action = row[position[rank]]
                if action in done or not _is_ready(action, done, num_stages):
                    break
                done.add(action)
                position[rank] += 1
                is_moving = True
    stuck = [rank for rank, row in enumerate(rows) if position[rank] < len(row)]
    if stuck:
        raise ValueError(_grid(rows, position, stuck))


def _is_ready(action: Action, done: set[Action], num_stages: int) -> bool:
    stage, kind, microbatch = action
    if kind == "F":
        return stage == 0 or Action(stage - 1, "F", microbatch) in done
    has_gradient = stage == num_stages - 1 or Action(stage + 1, "B", microbatch) in done
    return has_gradient and Action(stage, "F", microbatch) in done


def _grid(rows: Schedule, position: list[int], stuck: list[int]) -> str:
    lines = ["the schedule cannot run; each rank stops at the arrow:"]
    for rank, row in enumerate(rows):
        words = [str(action) for action in row]
        if rank in stuck:
            words.insert(position[rank], "->")
        lines.append(f"rank {rank}: " + " ".join(words))
    return "\n".join(lines)
