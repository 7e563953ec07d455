"""Whether a schedule can run, told slowly and obviously; what it keeps; where it sits.

Each pass runs when what it needs is done:

=====  ====================================================
F      the F of the stage before
B, I   its own F, and the B or I of the stage behind
W      its own I
=====  ====================================================

Two passes that run as one begin when both may, and are done at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from simulator.lowering.schedules.actions import Action, Row, Schedule
from simulator.lowering.schedules.pairs import Pairs

_NO_PAIRS: Mapping[Action, Action] = MappingProxyType({})


def in_flight(row: Row) -> int:
    """Return the most forwards of a rank whose last backward has not run [1]."""
    depth = peak = 0
    for action in row:
        if action.kind != "I":
            depth += 1 if action.kind == "F" else -1
        peak = max(peak, depth)
    return peak


def check(rows: Schedule, pairs: Pairs = _NO_PAIRS) -> None:
    """Raise ValueError, with the grid and an arrow, if a schedule cannot run.

    Each pass must appear once, on one rank; a backward is B, or I and W; and no rank
    may wait for a pass that is behind one that waits for it.

    Args:
        rows: of the schedule.
        pairs: passes that run as one, side by side in their row.
    """
    num_stages = 1 + max(action.stage for row in rows for action in row)
    done: set[Action] = set()
    position = [0] * len(rows)
    is_moving = True
    while is_moving:
        is_moving = False
        for rank, row in enumerate(rows):
            while position[rank] < len(row):
                count = 2 if row[position[rank]] in pairs else 1
                now = row[position[rank] : position[rank] + count]
                if not done.isdisjoint(now):
                    break
                if not all(_is_ready(action, done, num_stages) for action in now):
                    break
                done.update(now)
                position[rank] += count
                is_moving = True
    stuck = [rank for rank, row in enumerate(rows) if position[rank] < len(row)]
    if stuck:
        raise ValueError(_grid(rows, position, stuck))
    lacking = missing(done, num_stages)
    if lacking:
        names = ", ".join(map(str, lacking))
        raise ValueError(f"the schedule lacks {names}\n{_grid(rows, position, [])}")


def missing(done: set[Action], num_stages: int) -> list[Action]:
    """Return the passes without which the step is not complete."""
    lacking = []
    for microbatch in sorted({action.microbatch for action in done}):
        for stage in range(num_stages):
            kinds = {k for k in "FBIW" if (stage, k, microbatch) in done}
            needed = "FIW" if "I" in kinds else "FB"
            lacking += [
                Action.parse(f"{stage}{kind}{microbatch}")
                for kind in needed
                if kind not in kinds
            ]
    return lacking


def _is_ready(action: Action, done: set[Action], num_stages: int) -> bool:
    stage, kind, microbatch = action
    if kind == "F":
        return stage == 0 or Action(stage - 1, "F", microbatch) in done
    if kind == "W":
        return Action(stage, "I", microbatch) in done
    other = Action(stage, "B" if kind == "I" else "I", microbatch)
    if other in done or Action(stage, "F", microbatch) not in done:
        return False
    behind = stage + 1
    return (
        behind == num_stages
        or Action(behind, "B", microbatch) in done
        or Action(behind, "I", microbatch) in done
    )


def _grid(rows: Schedule, position: list[int], stuck: list[int]) -> str:
    lines = ["the schedule cannot run; each rank stops at the arrow:"] if stuck else []
    for rank, row in enumerate(rows):
        words = [str(action) for action in row]
        if rank in stuck:
            words.insert(position[rank], "->")
        lines.append(f"rank {rank}: " + " ".join(words))
    return "\n".join(lines)
