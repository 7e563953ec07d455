"""What a cable between two hosts gives messages of gloo: the only thing calibrated.

    python -m calibration.torch_engine.studies links
    python -m calibration.fitting.links gloo-emulated

The first writes `calibration/measured/gloo-two-hosts.csv`, a row for every rate,
collective and size; the second fits the constants of a profile on these rows. No
network of more than two hosts is looked at.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from calibration.emulation.network import EmulatedNetwork
from calibration.torch_engine.collectives import Peers, perform
from calibration.torch_engine.rank import Member
from calibration.torch_engine.seats import in_hosts
from calibration.torch_engine.timed.clock import sleep_until
from calibration.torch_engine.timed.running import shape_at
from calibration.torch_engine.timed.task import common_moment
from calibration.torch_engine.world import World
from simulator.collectives.table import TABLE
from topologies.graphs.direct import ring
from topologies.graphs.wiring import Wiring
from topologies.units import BytesPerSecond, Count, Seconds, parse_quantity

ROWS = Path(__file__).parents[2] / "measured" / "gloo-two-hosts.csv"
_RATES = ("50 Mbit/s", "100 Mbit/s", "200 Mbit/s", "500 Mbit/s")
_COLLECTIVES = (("broadcast", "binomial"), ("all-reduce", "ring"))
# Below these the time of a message is that of the scheduler.
_SIZES = ("64 kB", "250 kB", "500 kB", "2 MB", "8 MB")
_LONGEST: Seconds = 0.8  # of one message
_ELEMENT = 4  # bytes of a number


class Case(NamedTuple):
    """A collective between two hosts.

    Fields:
        pattern, algorithm: of the table.
        size: in NCCL's convention, with its unit.
    """

    pattern: str
    algorithm: str
    size: str

    @property
    def num_bytes(self) -> int:
        """Its size [B]."""
        return int(parse_quantity(self.size, "B"))


def measure(rate: BytesPerSecond, repeats: Count) -> list[tuple[Case, Seconds]]:
    """Return the median time of every case on a cable of a rate.

    Args:
        rate: of the cable, as it is shaped [B/s].
        repeats: of each case [1].
    """
    cases = [
        case
        for case in (Case(*each, size) for each in _COLLECTIVES for size in _SIZES)
        if case.num_bytes < _LONGEST * rate
    ]
    cable = Wiring(network=ring(hosts=2, bandwidth=rate, latency=0.0))
    with (
        EmulatedNetwork(cable, shape_at(rate)) as network,
        World(in_hosts(network, (0, 1))) as world,
    ):
        answers = world.run(partial(_timed, cases=cases, repeats=repeats))
    both = zip(*answers, strict=True)  # by case, then by rank
    return [
        (case, median(map(max, zip(*ends, strict=True))))
        for case, ends in zip(cases, both, strict=True)
    ]


def _timed(
    member: Member, cases: Sequence[Case], repeats: Count
) -> list[list[Seconds]]:
    """Return how long every case took on this rank, each time [s]."""
    return [
        [_once(member, case, 2 * number) for _ in range(int(repeats) + 1)][1:]
        for number, case in enumerate(cases)
    ]


def _once(member: Member, case: Case, tag: int) -> Seconds:
    row = TABLE[case.pattern, case.algorithm]  # type: ignore[index]  # of our own names
    tensor = torch.zeros(case.num_bytes // _ELEMENT)
    peers = Peers(members=(0, 1), place=member.rank, tag=tag)
    begin = common_moment(member)
    sleep_until(begin)
    perform(row, tensor, peers, member.size)
    return time.monotonic() - begin


def table(rates: Iterable[str], repeats: Count) -> list[dict[str, str]]:
    """Return the rows of all rates, as the file has them."""
    return [
        {
            "id": f"{case.pattern}-{case.size}-{rate}".replace(" ", ""),
            "bandwidth": rate,
            "pattern": case.pattern,
            "algorithm": case.algorithm,
            "size": case.size,
            "time_s": f"{taken:.6f}",
        }
        for rate in rates
        for case, taken in measure(parse_quantity(rate, "B/s"), repeats)
    ]


def write(repeats: Count) -> list[dict[str, str]]:
    """Measure at all rates, write the file and return its rows.

    Args:
        repeats: of each case [1].
    """
    rows = table(_RATES, repeats)
    with ROWS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows
