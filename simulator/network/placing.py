"""Placing: rounds between participants become messages between endpoints, with routes.

All groups do the same rounds. Participant p of group g is number g (n + 1) + p here,
and n of each group is its switch, which only in-network reduction uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np
from typing_extensions import override

from simulator.collectives.rounds import Round
from simulator.network.fair import Flows
from simulator.network.jobs import subset
from simulator.network.reduction_tree import tree_routes
from simulator.network.router import Router
from topologies.graphs.arrays import Floats, Integers, sums
from topologies.graphs.network import GraphError
from topologies.graphs.routes import Routes
from topologies.units import Seconds

MAX_KEPT = 20_000  # messages of different rounds


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRound:
    """Messages that may run at once, `count` times in a row.

    Fields:
        sender, receiver: participants, numbered through all groups.
        size: of each message [B].
        count: repetitions [1].
        flows: the links of each message; none where nothing has to move.
        latency: of each message, that of its route included [s].
    """

    sender: Integers
    receiver: Integers
    size: Floats
    count: int
    flows: Flows
    latency: Floats

    def link_bytes(self, num_links: int) -> Floats:
        """Return the bytes of one repetition on every link [B]."""
        return self.on_links(self.size, num_links)

    def link_flows(self, num_links: int) -> Floats:
        """Return how many messages cross every link, in parts where they split [1]."""
        return self.on_links(np.ones(len(self.size)), num_links)

    def on_links(self, amounts: Floats, num_links: int) -> Floats:
        """Return the sum over messages on every link, given an amount of each."""
        each = np.repeat(amounts, np.diff(self.flows.start))
        return sums(self.flows.link, each * self.flows.share, num_links)


class Placing(Sequence[PlacedRound]):
    """The rounds of all groups with the routes of their messages.

    All are placed at once and kept, unless they are many; then each is placed anew
    whenever it is asked for, since routes over many paths would fill the memory.

    Fields:
        num_messages: of all groups and repetitions [1].
        num_different: the same, but of repetitions only the first [1].
        is_chained: whether each message has an end that took part in the round before.
    """

    def __init__(
        self,
        router: Router,
        groups: Sequence[Sequence[int]],
        rounds: Sequence[Round],
        latency: Seconds,
    ) -> None:
        """Place rounds; equal ones in a row become one.

        Args:
            router: of the network.
            groups: endpoints of each, in the order of participants.
            rounds: of each group.
            latency: of a message, added to that of its route [s].

        Raises:
            GraphError: groups are of different sizes, an endpoint is not in the
                network, or a reduction in the network meets no tree of switches.
        """
        self._router, self._latency = router, latency
        self._endpoints = _endpoints(router, groups)
        self._rounds = _merged(rounds)
        sends = [len(each.sender) * len(groups) for each in self._rounds]
        counts = [each.count for each in self._rounds]
        self.num_messages = sum(
            n * count for n, count in zip(sends, counts, strict=True)
        )
        self.num_different = sum(sends)
        self.is_chained = _is_chained(self._rounds)
        few = self.num_different <= MAX_KEPT
        self._kept = self._placed(self._rounds) if few else None

    @override
    def __len__(self) -> int:
        """Different rounds."""
        return len(self._rounds)

    @overload
    def __getitem__(self, index: int) -> PlacedRound: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PlacedRound]: ...

    @override
    def __getitem__(self, index: int | slice) -> PlacedRound | Sequence[PlacedRound]:
        """Return a round, or some of them."""
        if self._kept is not None:
            return self._kept[index]
        if isinstance(index, slice):
            return self._placed(self._rounds[index])
        return self._placed([self._rounds[index]])[0]

    def _placed(self, rounds: Sequence[Round]) -> list[PlacedRound]:
        """Return some rounds with routes, which are asked for in one call."""
        if not rounds:
            return []
        endpoints = self._endpoints
        sender = np.concatenate([each.sender for each in rounds]).astype(np.int64)
        receiver = np.concatenate([each.receiver for each in rounds]).astype(np.int64)
        size = np.concatenate([each.size for each in rounds]).astype(np.float64)
        routes = _routes(self._router, endpoints, sender, receiver)
        group = np.arange(len(endpoints))[:, np.newaxis]
        base = group * (endpoints.shape[1] + 1)
        cuts = np.cumsum([0, *(len(each.sender) for each in rounds)]).tolist()
        result = []
        for each, first, last in zip(rounds, cuts, cuts[1:], strict=False):
            row = (group * len(sender) + np.arange(first, last)).ravel()
            sizes = np.tile(size[first:last], len(endpoints))
            result.append(
                PlacedRound(
                    sender=(base + sender[first:last]).ravel(),
                    receiver=(base + receiver[first:last]).ravel(),
                    size=sizes,
                    count=each.count,
                    flows=_without_bytes(routes, row, sizes),
                    latency=routes.latency[row] + self._latency,
                )
            )
        return result


def _endpoints(router: Router, groups: Sequence[Sequence[int]]) -> Integers:
    sizes = {len(group) for group in groups}
    if len(sizes) != 1:
        raise GraphError(f"groups of {sorted(sizes)} ranks; all groups are of one size")
    endpoints = np.array(groups, np.int64)
    last = router.num_endpoints - 1
    if endpoints.size and not 0 <= endpoints.min() <= endpoints.max() <= last:
        raise GraphError(f"a group has endpoints beyond 0 … {last}")
    return endpoints


def _merged(rounds: Sequence[Round]) -> list[Round]:
    """Return rounds with equal ones in a row as one, and without empty ones."""
    merged: list[Round] = []
    for each in rounds:
        if not len(each.sender) or not each.count:
            continue
        if merged and all(map(np.array_equal, merged[-1][:3], each[:3])):
            count = merged[-1].count + each.count
            merged[-1] = merged[-1]._replace(count=count)
        else:
            merged.append(each)
    return merged


def _routes(
    router: Router, endpoints: Integers, sender: Integers, receiver: Integers
) -> Routes:
    """Return the routes of all sends of the first group, then of the next."""
    switch = endpoints.shape[1]
    if max(sender.max(), receiver.max()) == switch:
        return tree_routes(router, endpoints, sender, receiver)
    ends = np.stack([endpoints[:, sender].ravel(), endpoints[:, receiver].ravel()], 1)
    return router.routes(ends)


def _without_bytes(routes: Routes, row: Integers, size: Floats) -> Flows:
    """Return some routes as flows; those without bytes lose their links."""
    weight = np.ones(len(routes.latency))
    flows = Flows(routes.start, routes.link, routes.fraction, weight)
    if len(row) < len(weight):
        flows = subset(flows, row)
    if np.all(size > 0):
        return flows
    counts = np.diff(flows.start)
    keep = np.repeat(size > 0, counts)
    start = np.zeros(len(size) + 1, np.int64)
    np.cumsum(np.where(size > 0, counts, 0), out=start[1:])
    return Flows(start, flows.link[keep], flows.share[keep], flows.weight)


def _is_chained(rounds: Sequence[Round]) -> bool:
    """Return whether each message has an end that took part in the round before."""
    for before, after in pairwise(rounds):
        ends = [each.max() for each in (*before[:2], *after[:2])]
        takes_part = np.zeros(max(ends) + 1, bool)
        takes_part[before.sender] = takes_part[before.receiver] = True
        if not np.all(takes_part[after.sender] | takes_part[after.receiver]):
            return False
    return True
