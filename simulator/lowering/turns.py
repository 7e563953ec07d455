"""A pass cut at its messages, so that another pass can compute while they are sent.

A turn is a run of kernels, the messages that need them, and kernels that need not wait
for these: of a backward pass, gradients of weights. They wait for nothing, and nothing
waits for them, so they are done beside the next message of their pass, or at its end.

    forward of a mixture layer        backward
    attention  -> dispatch            sum               -> combine
    experts    -> combine             experts, inputs   -> dispatch, beside weights
    sum, and so on                    attention, inputs, and so on

Source: the cut of a layer, and weights apart, DeepSeek-V3 as in NVIDIA/Megatron-LM,
megatron/core/models/common/model_chunk_schedule_plan.py
(`TransformerLayerSchedulePlan.run`). That gradients of weights go as far as the next
message, whatever it is, is ours: Megatron-LM ends a layer with those of its attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from simulator.lowering.passes import Gradients
from simulator.workload import Beside, Item, Message, Phase, Repeat

Run = tuple[tuple[Item, Phase], ...]
"""Kernels in a row, each with its phase."""


class Turn(NamedTuple):
    """What a pass does until it has to wait for messages, and beside those.

    Fields:
        works: kernels.
        messages: that wait for them; none in the last turn of a pass.
        beside: kernels that do not wait for the messages.
    """

    works: Run
    messages: tuple[Message, ...] = ()
    beside: Run = ()


@dataclass(slots=True)
class Cutter:
    """Cuts what it is given, in the order of a pass.

    Fields:
        phase: of the pass.
        turns: so far.
        works, messages: of the present turn.
        weights: gradients that wait for the next messages.
    """

    phase: Phase
    turns: list[Turn] = field(default_factory=list)
    works: list[tuple[Item, Phase]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    weights: list[tuple[Item, Phase]] = field(default_factory=list)

    def add(self, items: Iterable[Item], phase: Phase | None = None) -> None:
        """Add what the rest of the pass waits for."""
        own = phase or self.phase
        for item in items:
            if isinstance(item, Repeat) and _has_message(item):
                for _ in range(int(item.count)):
                    self.add(item.items, item.phase or own)
            elif isinstance(item, Message):
                self.messages.append(item)
            elif isinstance(item, Beside):
                self._close()
                self.messages.append(item.message)
                self.weights[:0] = [(work, own) for work in item.works]
                self._close()
            else:
                self._close()
                self.works.append((item, own))

    def add_gradients(self, parts: Iterable[Gradients]) -> None:
        """Add a layer's backward; what was gathered, gradients of weights need too."""
        for inputs, weights in parts:
            self.add(inputs)
            if any(message.pattern == "all-gather" for message in self.messages):
                self._close()
            self.weights += ((work, self.phase) for work in weights)

    def finish(self) -> tuple[Turn, ...]:
        """Return the turns; the last one ends the pass."""
        self._close()
        last = (*self.works, *self.weights)
        return (*self.turns, Turn(last))

    def _close(self) -> None:
        """End the present turn if it has messages."""
        if self.messages:
            beside = tuple(self.weights)
            self.turns.append(Turn(tuple(self.works), tuple(self.messages), beside))
            self.works, self.messages, self.weights = [], [], []


def items_of(run: Run, phase: Phase) -> Iterator[Item]:
    """Yield kernels as items of a body, those of another phase said to be so."""
    for own, same in groupby(run, key=itemgetter(1)):
        items = tuple(item for item, _ in same)
        if own == phase:
            yield from items
        else:
            yield Repeat(items, 1, own)


def _has_message(item: Repeat) -> bool:
    return any(
        _has_message(inner)
        if isinstance(inner, Repeat)
        else isinstance(inner, Message | Beside)
        for inner in item.items
    )
