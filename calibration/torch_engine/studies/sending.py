"""What sending takes from the cores: two hosts on one cable beside kernels.

    python -m calibration.torch_engine.studies links

Kernels fill all cores. Both hosts sleep, then exchange messages, then sleep again; what
the kernels lack meanwhile is the messages' core time: copies and system calls of the
ranks, the system's work on packets, and caches that the kernels find cold. Over all
cases the cores that were busy are fitted as so much a byte and so much a message (least
squares, linear beyond a twentieth of a core). No network of more than two hosts is
looked at.

Limits: the machine has to be quiet. Bytes that a host passes on are taken to cost what
those on the one cable do, though no process copies them.
"""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import least_squares

from calibration.emulation.network import EmulatedNetwork
from calibration.torch_engine.collectives import Peers, perform
from calibration.torch_engine.rank import Member
from calibration.torch_engine.seats import in_hosts, seats
from calibration.torch_engine.studies import results
from calibration.torch_engine.studies.filling import Fillers, filled_cores
from calibration.torch_engine.timed.clock import sleep_until
from calibration.torch_engine.timed.running import shape_at
from calibration.torch_engine.timed.task import common_moment
from calibration.torch_engine.world import World
from simulator.collectives.table import TABLE
from topologies.graphs.direct import ring
from topologies.graphs.wiring import Wiring
from topologies.units import (
    Bytes,
    Count,
    Ratio,
    Seconds,
    format_quantity,
    parse_quantity,
)

NAME = "gloo-two-hosts-cores"
_RATES = ("100 Mbit/s", "200 Mbit/s", "500 Mbit/s")
_SIZES = ("64 kB", "500 kB", "2 MB")
_COLLECTIVES = (("broadcast", "binomial"), ("all-reduce", "ring"))
_LONG: Seconds = 2.0  # that each case sends, about
_ELEMENT = 4  # bytes of a number
_DIGITS = 4
_NOISE: Count = 0.05  # cores; what is off by more counts linearly


class Spent(NamedTuple):
    """What some messages on a cable took.

    Fields:
        rate: of the cable, with its unit.
        pattern: of the collective.
        size: of each, in NCCL's convention, with its unit.
        messages: of both hosts [1].
        sent: by both hosts [B].
        lasted: for how long [s].
        cores: core time that kernels beside them lacked [s].
        drift: of the kernels' rate from the sleep before to that after them [1].
    """

    rate: str
    pattern: str
    size: str
    messages: Count
    sent: Bytes
    lasted: Seconds
    cores: Seconds
    drift: Ratio


def measure(rates: Sequence[str] = _RATES, long: Seconds = _LONG) -> Iterator[Spent]:
    """Yield what every case takes, cable by cable.

    Args:
        rates: of cables, with their units.
        long: that each case sends, about [s].
    """
    with World(seats(1)):
        pass  # torch is loaded, for all that follow, before the cores are full
    with filled_cores() as fillers:
        for rate in rates:
            bandwidth = parse_quantity(rate, "B/s")
            cable = Wiring(network=ring(hosts=2, bandwidth=bandwidth, latency=0.0))
            with (
                EmulatedNetwork(cable, shape_at(bandwidth)) as network,
                World(in_hosts(network, (0, 1))) as world,
            ):
                for collective in _COLLECTIVES:
                    for size in _SIZES:
                        case = _Case(rate, *collective, size, long)
                        first, second = world.run(partial(_exchange, case))
                        yield _spent(case, first, second, fillers)


class _Case(NamedTuple):
    """Messages of one size on a cable, for some time; see `Spent`."""

    rate: str
    pattern: str
    algorithm: str
    size: str
    long: Seconds

    @property
    def num_bytes(self) -> int:
        return int(parse_quantity(self.size, "B"))

    @property
    def repeats(self) -> int:
        rate = parse_quantity(self.rate, "B/s")
        return max(1, round(self.long * rate / self.num_bytes))


class _Part(NamedTuple):
    """What one host did.

    Fields:
        messages, sent: of this host [1], [B].
        moments: when it slept, sent, slept again and woke [s].
    """

    messages: Count
    sent: Bytes
    moments: tuple[Seconds, Seconds, Seconds, Seconds]


def _exchange(case: _Case, member: Member) -> _Part:
    """Sleep, exchange messages and sleep, and return what this host did."""
    torch.set_num_threads(1)
    row = TABLE[case.pattern, case.algorithm]  # type: ignore[index]  # of our own names
    tensor = torch.zeros(case.num_bytes // _ELEMENT)
    peers = Peers(members=(0, 1), place=member.rank)
    perform(row, tensor, peers, member.size)  # makes the connection
    peers = Peers(members=(0, 1), place=member.rank)
    sleep_until(slept := common_moment(member))
    sleep_until(begun := slept + case.long / 2)
    for _ in range(case.repeats):
        perform(row, tensor, peers, member.size)
    torch.distributed.barrier()
    ended = time.monotonic()
    sleep_until(woken := ended + case.long / 2)
    return _Part(peers.num_sent, peers.wire_bytes, (slept, begun, ended, woken))


def _spent(case: _Case, first: _Part, second: _Part, fillers: Fillers) -> Spent:
    """Return what a case took, from what kernels did before, beside and after it."""
    rates = [
        done / (end - begin)
        for done, begin, end in zip(
            fillers.done(first.moments), first.moments, first.moments[1:], strict=False
        )
    ]
    lasted = first.moments[2] - first.moments[1]
    alone = (rates[0] + rates[2]) / 2
    return Spent(
        case.rate,
        case.pattern,
        case.size,
        first.messages + second.messages,
        first.sent + second.sent,
        lasted,
        fillers.cores * lasted * (1 - rates[1] / alone),
        rates[2] / rates[0] - 1,
    )


def fitted(rows: Sequence[Spent]) -> dict[str, str]:
    """Return the constants of a link, as a profile file has them."""
    lasted = np.array([row.lasted for row in rows])
    busy = np.array([row.cores for row in rows]) / lasted
    rates = np.array([(row.sent, row.messages) for row in rows]) / lasted[:, None]
    largest = rates.max(axis=0)  # so that both columns are about 1
    columns = rates / largest
    found = least_squares(
        lambda shares: columns @ shares - busy,
        np.full(2, busy.mean()),
        bounds=(0, np.inf),
        loss="soft_l1",
        f_scale=_NOISE,
    )
    byte, message = (float(each) for each in found.x / largest)
    return {
        "core_rate": format_quantity(1 / byte, "B/s", _DIGITS),
        "core_message": format_quantity(message, "s", _DIGITS),
    }


def known() -> dict[str, str]:
    """Return the constants of a link that were measured last."""
    text = (results.FOLDER / f"{NAME}.toml").read_text("utf-8")
    return dict(tomllib.loads(text)["link"])


def report(rows: Iterable[Spent]) -> list[str]:
    """Return the lines of a file."""
    rows = list(rows)
    title = "What messages of gloo on one cable take from the cores of two hosts."
    load = results.keys({"load": round(os.getloadavg()[0], 2)})
    lines = [*results.head(title, "links"), *load, "", "[link]"]
    return [*lines, *results.keys(fitted(rows)), *results.rows(map(_entry, rows))]


def _entry(row: Spent) -> dict[str, object]:
    return {
        "bandwidth": row.rate,
        "pattern": row.pattern,
        "size": row.size,
        "messages": int(row.messages),
        "bytes": int(row.sent),
        "lasted_s": round(row.lasted, 3),
        "cores_s": round(row.cores, 3),
        "drift": round(row.drift, 3),
    }
