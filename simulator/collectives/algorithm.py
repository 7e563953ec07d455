"""One algorithm of one pattern: its cost, its sends, and where it applies.

The sends come from NumPy code that is loaded when they are asked for; the cost is a
formula, which a plain prediction has without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from simulator.collectives.options import DEFAULTS, Options, chosen
from simulator.costs.collectives import CollectiveCost, collective_time
from topologies.units import Bytes, BytesPerSecond, Count, Seconds

if TYPE_CHECKING:
    from simulator.collectives.rounds import Round, Step

Pattern = Literal[
    "all-reduce",
    "reduce-scatter",
    "all-gather",
    "broadcast",
    "reduce",
    "all-to-all",
    "gather",
    "scatter",
    "push",
    "pull",
    "neighbour-exchange",
    "barrier",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A row of the table.

    Attributes:
        pattern: what it does.
        name: how.
        formula: its cost from size, ranks and the options in `priced`.
        source: of its sends, `module.function` in this package; takes ranks, size
            and the options in `options`.
        options: that its sends depend on.
        priced: that its cost depends on.
        fault: of ranks and options, why it cannot be done; empty if it can.
        is_in_switch: whether participant n is a switch that adds.
        is_only_asked: whether a plan has to name it: no library chooses it by itself.
    """

    pattern: Pattern
    name: str
    formula: Callable[..., CollectiveCost]
    source: str
    fault: Callable[[int, Options], str]
    options: tuple[str, ...] = ()
    priced: tuple[str, ...] = ()
    is_in_switch: bool = False
    is_only_asked: bool = False

    def cost(
        self, size: Bytes, num_ranks: Count, options: Options = DEFAULTS
    ) -> CollectiveCost:
        """Return rounds, bytes of the busiest ports, and bytes of all sends.

        Args:
            size: S, in NCCL's convention for the pattern; a number or an array [B].
            num_ranks: n, a number or an array [1].
            options: choices within the algorithm.
        """
        choices = chosen(self.priced, num_ranks, options)
        return self.formula(size, num_ranks, **choices)

    def time(
        self,
        size: Bytes,
        num_ranks: Count,
        latency: Seconds,
        bandwidth: BytesPerSecond,
        options: Options = DEFAULTS,
    ) -> Seconds:
        """Return the time on an idle crossbar.

        Args:
            size: S, in NCCL's convention for the pattern [B].
            num_ranks: n [1].
            latency: α, per message [s].
            bandwidth: of each participant's link, per direction [B/s].
            options: choices within the algorithm.
        """
        return collective_time(self.cost(size, num_ranks, options), latency, bandwidth)

    def steps(
        self, num_ranks: Count, size: Bytes = 0.0, options: Options = DEFAULTS
    ) -> Count:
        """Return the rounds, one after the other.

        Args:
            num_ranks: n [1].
            size: S, on which the pieces of a pipeline depend [B].
            options: choices within the algorithm.
        """
        return self.cost(size, num_ranks, options).steps

    def wire_bytes(
        self, size: Bytes, num_ranks: Count, options: Options = DEFAULTS
    ) -> Bytes:
        """Return the bytes of all sends.

        Args:
            size: S, in NCCL's convention for the pattern [B].
            num_ranks: n [1].
            options: choices within the algorithm.
        """
        return self.cost(size, num_ranks, options).wire_bytes

    def sends(
        self, num_ranks: int, size: Bytes, options: Options = DEFAULTS
    ) -> list[Step]:
        """Return the rounds together with the blocks that they carry.

        Args:
            num_ranks: n [1].
            size: S, in NCCL's convention for the pattern [B].
            options: choices within the algorithm.

        Raises:
            ValueError: it cannot be done, see `allows`.
        """
        fault = self.allows(num_ranks, options)
        if fault:
            raise ValueError(f"{self.pattern} by {self.name}: {fault}")
        module, _, function = self.source.partition(".")
        make = getattr(import_module(f"simulator.collectives.{module}"), function)
        choices = chosen(self.options, num_ranks, options)
        steps: list[Step] = make(num_ranks, size, **choices)
        return steps

    def rounds(
        self, num_ranks: int, size: Bytes, options: Options = DEFAULTS
    ) -> list[Round]:
        """Return who sends how much to whom, round by round.

        Args:
            num_ranks: n [1].
            size: S, in NCCL's convention for the pattern [B].
            options: choices within the algorithm.

        Raises:
            ValueError: it cannot be done, see `allows`.
        """
        return [step.round for step in self.sends(num_ranks, size, options)]

    def allows(self, num_ranks: int, options: Options = DEFAULTS) -> str:
        """Return why it cannot be done, or nothing.

        Args:
            num_ranks: n [1].
            options: choices within the algorithm.
        """
        if num_ranks < 1:
            return f"takes at least one rank, not {num_ranks}"
        return self.fault(num_ranks, options)

    def num_participants(self, num_ranks: int, options: Options = DEFAULTS) -> int:
        """Return how many endpoints take part: ranks, and servers of their own.

        The switch is no endpoint.

        Args:
            num_ranks: n, ranks, or workers [1].
            options: choices within the algorithm.
        """
        if self.pattern not in {"push", "pull"} or options.is_colocated:
            return num_ranks
        if "num_servers" not in self.options:
            return num_ranks + 1
        return num_ranks + int(
            chosen(["num_servers"], num_ranks, options)["num_servers"]
        )
