"""Which algorithm and protocol does a collective run, and how long does it take?

A library predicts the time of each algorithm under each protocol and takes the least;
so do we: the minimum over the lanes of a group, and for `auto` over the algorithms
that the platform offers. Formulas take arrays, one entry a plan; names are only for
one plan.

Limits: an algorithm's time is its closed form on an idle crossbar. Sends that leave a
switch with fewer lines up than down are slowed as if all ends sent there at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from simulator.collectives.algorithm import Algorithm, Pattern
from simulator.collectives.options import DEFAULTS, Options, chosen
from simulator.collectives.table import TABLE
from simulator.costs.collectives import collective_time, grain_of
from simulator.costs.elementwise import maximum, minimum, where
from simulator.pricing.placement import Group, Lane
from topologies.units import Bytes, Count, Ratio, Seconds

AUTO = "auto"
NEVER = float("inf")

# What each half of the ranks exchanges with the other half leaves a switch that has
# few of them; in all others the ring's order decides, and every round leaves it.
_BY_HALVES = frozenset({"halving-doubling", "recursive-halving", "recursive-doubling"})


class Choice(NamedTuple):
    """How a collective is run.

    Fields:
        algorithm: name in the table of collectives.
        protocol: of the links.
        time: on idle links [s].
        steps: rounds of sends [1].
    """

    algorithm: str
    protocol: str
    time: Seconds
    steps: Count


class Allowed(NamedTuple):
    """What a collective may use.

    Fields:
        algorithm: name in the table, or `auto`.
        protocol: the only one; empty for all.
        offered: algorithms that `auto` may take; empty for all.
        options: choices within the algorithm.
    """

    algorithm: str = AUTO
    protocol: str = ""
    offered: tuple[str, ...] = ()
    options: Options = DEFAULTS


ANYTHING = Allowed()


def choose(
    pattern: Pattern, size: Bytes, group: Group, allowed: Allowed = ANYTHING
) -> Choice:
    """Return the fastest allowed way to run a collective of one plan.

    Args:
        pattern: what it does.
        size: in NCCL's convention for the pattern [B].
        group: the ranks and their links.
        allowed: algorithms and protocols.

    Raises:
        ValueError: nothing that is allowed can be done.
    """
    found = [
        Choice(row.name, lane.protocol, *_time_and_steps(row, size, group, lane, own))
        for row, lanes, own in _ways(pattern, group, allowed)
        if not row.allows(int(group.num_ranks), own)
        for lane in lanes
    ]
    best = min(found, key=lambda choice: choice.time, default=None)
    if best is None or best.time == NEVER:
        ranks = f"{int(group.num_ranks)} ranks"
        under = f" under {allowed.protocol}" if allowed.protocol else ""
        raise ValueError(f"no {pattern} by {allowed.algorithm} for {ranks}{under}")
    return best


def fastest_time(
    pattern: Pattern, size: Bytes, group: Group, allowed: Allowed = ANYTHING
) -> Seconds:
    """Return the time of `choose` for one plan, or for each of many.

    Args:
        pattern: what it does.
        size: in NCCL's convention for the pattern [B].
        group: the ranks and their links.
        allowed: algorithms and protocols.
    """
    best: Seconds = NEVER
    for row, lanes, own in _ways(pattern, group, allowed):
        is_possible = _is_possible(row, group.num_ranks, own)
        for lane in lanes:
            time, _ = _time_and_steps(row, size, group, lane, own)
            best = minimum(best, where(is_possible, time, NEVER))
    return best


def candidates(
    pattern: Pattern, algorithm: str, offered: Sequence[str] = ()
) -> list[Algorithm]:
    """Return the rows of the table that are asked for.

    Raises:
        ValueError: there is no such algorithm.
    """
    rows = [row for (kind, _), row in TABLE.items() if kind == pattern]
    if algorithm == AUTO:
        return [row for row in rows if row.name in offered] or rows
    named = [row for row in rows if row.name == algorithm]
    if not named:
        known = ", ".join(row.name for row in rows)
        raise ValueError(f"no {pattern} is called {algorithm!r}; there are {known}")
    return named


def _ways(
    pattern: Pattern, group: Group, allowed: Allowed
) -> Iterator[tuple[Algorithm, list[Lane], Options]]:
    """Yield algorithms, each with the protocols that serve it and its options."""
    is_asked = allowed.algorithm != AUTO
    for row in candidates(pattern, allowed.algorithm, allowed.offered):
        lanes = [
            lane
            for lane in _lanes(row, group, is_asked=is_asked)
            if lane.protocol == (allowed.protocol or lane.protocol)
        ]
        yield row, lanes, _with_columns(row, group.num_ranks, allowed.options)


def _lanes(row: Algorithm, group: Group, *, is_asked: bool) -> Iterator[Lane]:
    """Yield the lanes that serve an algorithm.

    Only a protocol that says so gets help from the switch, and one that names what it
    serves serves nothing else; unless no other of its link serves what is asked for.
    """
    lanes = group.lanes or (_only_lane(group),)
    for link in dict.fromkeys(lane.link for lane in lanes):
        own = [lane for lane in lanes if lane.link == link]
        served = [lane for lane in own if serves(lane.algorithms, row)]
        yield from own if is_asked and not served else served


def serves(algorithms: Sequence[str], row: Algorithm) -> bool:
    """Return whether a protocol serves an algorithm.

    Args:
        algorithms: that the protocol names; none for all without help of a switch
            that some library chooses.
        row: of the table.
    """
    if algorithms:
        return row.name in algorithms
    return not (row.is_in_switch or row.is_only_asked)


def _only_lane(group: Group) -> Lane:
    return Lane(
        link="",
        protocol="simple",
        algorithms=(),
        is_open=1,
        start=group.start,
        hop=group.hop,
        bandwidth=group.bandwidth,
        largest=NEVER,
        reach=NEVER,
        across=1.0,
        num_ends=group.num_ranks,
    )


def _time_and_steps(
    row: Algorithm, size: Bytes, group: Group, lane: Lane, options: Options
) -> tuple[Seconds, Count]:
    """Return time and rounds of an algorithm; for ever where the protocol is closed."""
    bandwidth = lane.bandwidth
    if lane.across != 1:
        bandwidth = bandwidth / _slowdown(row, lane)
    if "grain" in row.priced:
        options = replace(options, grain=grain_of(lane.hop, bandwidth))
    cost = row.cost(size, group.num_ranks, options)
    time = lane.start + collective_time(cost, lane.hop, bandwidth)
    is_used = lane.is_open * (size <= lane.largest)
    return where(is_used, time, NEVER), cost.steps


def _slowdown(row: Algorithm, lane: Lane) -> Ratio:
    """Return by how much the sends that leave a switch lengthen a collective.

    1 + f (1 / across - 1), with the share f of a rank's bytes that leave its switch:
    all of them on a ring over several; for halves that exchange halves, and so on,
    (1 - r / n) n / (n - 1) if r of n ends share a switch.
    """
    ends, reach = lane.num_ends, minimum(lane.reach, lane.num_ends)
    leaves = where(ends > reach, 1.0, 0.0)
    if row.name in _BY_HALVES:
        leaves = (1 - reach / ends) * ends / maximum(ends - 1, 1)
    return 1 + leaves * (1 / lane.across - 1)


def _with_columns(row: Algorithm, num_ranks: Count, options: Options) -> Options:
    """Return options with the columns of a torus, one for each plan."""
    if _is_one(num_ranks) or "columns" not in row.priced:
        return options
    import numpy as np  # noqa: PLC0415 - only batches of plans need it

    columns = [chosen(["columns"], n, options)["columns"] for n in np.ravel(num_ranks)]
    return replace(options, columns=np.array(columns))  # type: ignore[arg-type]  # many


def _is_possible(row: Algorithm, num_ranks: Count, options: Options) -> Count:
    """Return whether an algorithm can be done for so many ranks.

    Ranks per node and columns, one for each of many plans, were made to divide them.
    """
    if _is_one(num_ranks):
        return not row.allows(int(num_ranks), options)
    import numpy as np  # noqa: PLC0415 - only batches of plans need it

    if {"per_node", "columns"} & set(row.priced):
        return True
    possible = [not row.allows(int(n), options) for n in np.ravel(num_ranks)]
    return np.array(possible)  # type: ignore[return-value]  # one for each plan


def _is_one(num_ranks: object) -> bool:
    """Return whether it is the number of one plan, not an array of many."""
    return isinstance(num_ranks, int | float)
