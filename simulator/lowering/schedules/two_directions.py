"""Schedules in which a rank holds an early and a late stage: ZB-V and DualPipe.

ZB-V folds the pipeline: rank r holds stages r and 2p - 1 - r. DualPipe feeds it from
both ends: rank r holds stage r for the first half of the micro-batches and stage
p - 1 - r for the second half, each with weights of its own.

Which passes of DualPipe run as one, is in `pairs`.

Source: ZB-V, Qi et al., arXiv:2401.10241, and torch's `ScheduleZBVZeroBubble`, from
memory; DualPipe, deepseek-ai/DualPipe, dualpipe/dualpipe.py (`step`). The tests hold
both to the papers' bubbles.
"""

from __future__ import annotations

from simulator.lowering.schedules.actions import Action, Kind, Row

_LETTERS: dict[str, Kind] = {"F": "F", "B": "B", "I": "I"}


class _Writer:
    """Appends passes of two chunks, each in the order of its micro-batches."""

    def __init__(self, stages: tuple[int, int], first: tuple[int, int]) -> None:
        """Begin a row.

        Args:
            stages: of the two chunks.
            first: micro-batch of each chunk [1].
        """
        self.row: list[Action] = []
        self.stages = stages
        self.next = {"F": list(first), "back": list(first)}
        self.waiting: list[Action] = []

    def add(self, chunk: int, kind: Kind) -> None:
        """Append the next F, B or I of a chunk; an I leaves a W to be done."""
        numbers = self.next["F" if kind == "F" else "back"]
        action = Action(self.stages[chunk], kind, numbers[chunk])
        numbers[chunk] += 1
        self.row.append(action)
        if kind == "I":
            self.waiting.append(action._replace(kind="W"))

    def repeat(self, count: int, passes: str) -> None:
        """Append passes such as `F0 I1 W`, several times; W is the longest waiting."""
        for _ in range(count):
            for word in passes.split():
                if word == "W":
                    self.row.append(self.waiting.pop(0))
                else:
                    self.add(int(word[1]), _LETTERS[word[0]])

    def finish(self) -> Row:
        """Return the row, with the W that still wait at its end."""
        return (*self.row, *self.waiting)


def vee(rank: int, pipeline: int, microbatches: int) -> Row:
    """Return a rank's row of ZB-V; at least 2p micro-batches.

    Every rank keeps 2p chunks at most, which is as much as 1F1B keeps on rank 0.
    """
    writer = _Writer((rank, 2 * pipeline - 1 - rank), (0, 0))
    below = pipeline - rank
    writer.repeat(2 * below - 1, "F0")
    writer.repeat(rank, "F1 F0")
    writer.repeat(below, "F1 I1 W")
    # F0 is now 2p - r - 1, and F1 p, micro-batches into the step.
    both = microbatches - (2 * pipeline - rank - 1)
    writer.repeat(both, "F0 I0 W F1 I1 W")
    writer.repeat(pipeline - rank - 1, "I0 W F1 I1 W")
    writer.repeat(rank, "I0 I1")
    writer.repeat(below, "I0 W")
    return writer.finish()


def dual(rank: int, pipeline: int, microbatches: int) -> Row:
    """Return a rank's row of DualPipe; p even, m even and at least 2p.

    Chunk 0 is that of the direction whose begin is nearer to the rank. Only the
    backwards that would wait for nothing else stand in two parts.
    """
    half = microbatches // 2
    near = min(rank, pipeline - 1 - rank)
    first = (0, half) if rank == near else (half, 0)
    writer = _Writer((near, pipeline - 1 - near), first)
    inner = pipeline // 2 - near - 1  # ranks between this one and the middle
    writer.repeat(2 * inner, "F0")
    writer.repeat(near + 1, "F0 F1")
    writer.repeat(inner, "I1 W F1")
    writer.repeat(half - pipeline + near + 1, "F0 B1 F1 B0")
    writer.repeat(inner, "B1 F1 B0")
    for position in range(2 * (near + 1)):
        kind: Kind = "B" if position <= near else "I"
        writer.add(1 - position % 2, kind)
    writer.repeat(inner, "W I0")
    return writer.finish()
