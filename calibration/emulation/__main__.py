"""Show an emulated network: random flows on four graphs, predicted and measured.

    python -m calibration.emulation --bandwidth '100 Mbit/s' --seed 1 --unplug

Only a cable between two hosts is measured beforehand; every prediction is made before
the flows run.
"""

from __future__ import annotations

import argparse
import sys
from itertools import permutations
from random import Random
from typing import NamedTuple

from calibration.emulation.errors import EmulationError
from calibration.emulation.exchange import Flow, exchange
from calibration.emulation.network import EmulatedNetwork
from calibration.emulation.prediction import Constants, measure_constants, predict
from calibration.emulation.shape import Shape
from calibration.scoring.statistics import summarize
from simulator.errors import RehearsalError
from topologies.graphs.families import build
from topologies.graphs.wiring import Wiring
from topologies.units import (
    BytesPerSecond,
    Seconds,
    UnitError,
    format_quantity,
    parse_quantity,
)

_GRAPHS = (
    ("ring", {"hosts": 6}),
    ("wheel", {"hosts": 7}),
    ("random", {"hosts": 8, "probability": 0.35, "seed": 3}),
    ("star", {"hosts": 5}),
)
_LONGEST: Seconds = 0.25  # of a flow alone


class _Row(NamedTuple):
    """One flow: where it ran, and its times [s]."""

    name: str
    alone: Seconds
    predicted: Seconds
    measured: Seconds

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return self.predicted / self.measured - 1

    @property
    def is_contended(self) -> bool:
        """Whether sharing links lengthens it by more than a twentieth."""
        return self.predicted > 1.05 * self.alone


def main(words: list[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m calibration.emulation")
    parser.add_argument("--bandwidth", default="100 Mbit/s", help="of every link")
    parser.add_argument("--seed", type=int, default=1, help="of the flows")
    parser.add_argument("--rounds", type=int, default=3, help="on each graph")
    parser.add_argument("--queueing", default="fair", choices=("fair", "first-come"))
    parser.add_argument(
        "--unplug", action="store_true", help="a cable of each graph, at the end"
    )
    given = parser.parse_args(words)
    try:
        bandwidth = parse_quantity(given.bandwidth, "B/s")
        shape = Shape(queueing=given.queueing)
        constants = measure_constants(bandwidth, shape)
        _say(f"seed {given.seed}, {shape}")
        _say(
            f"two hosts: {format_quantity(constants.share * bandwidth, 'B/s', 4)} of "
            f"payload, {constants.share / shape.payload_share:.4f} of what is shaped"
        )
        rng = Random(given.seed)  # noqa: S311 - no secrets
        _show(bandwidth, shape, constants, rng, given.rounds)
        if given.unplug:
            _show_unplugged(bandwidth)
    except UnitError as error:
        parser.error(str(error))
    except RehearsalError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _show(
    bandwidth: BytesPerSecond,
    shape: Shape,
    constants: Constants,
    rng: Random,
    rounds: int,
) -> None:
    """Run rounds of random flows on every graph and print all of them."""
    _say(f"{'flow':32}{'alone':>9}{'predicted':>11}{'measured':>10}{'error':>9}")
    rows = []
    for family, parameters in _GRAPHS:
        graph = build(family, bandwidth=bandwidth, latency=0.0, **parameters)
        with EmulatedNetwork(Wiring(network=graph), shape) as network:
            for _ in range(rounds):
                flows = _drawn(rng, graph.num_hosts, bandwidth)
                rows += _rows(family, network, flows, constants)
    for row in rows:
        times = f"{row.alone:9.3f}{row.predicted:11.3f}{row.measured:10.3f}"
        _say(f"{row.name:32}{times}{row.error:+9.1%}")
    _say(_summary("all flows", rows))
    _say(_summary("contended flows", [row for row in rows if row.is_contended]))


def _show_unplugged(bandwidth: BytesPerSecond) -> None:
    """Unplug a cable of every graph, print what is said, and plug it in again."""
    for family, parameters in _GRAPHS:
        graph = build(family, bandwidth=bandwidth, latency=0.0, **parameters)
        with EmulatedNetwork(Wiring(network=graph), Shape(num_retries=2)) as network:
            link = int(network.wiring.routes([(0, 1)]).of(0)[0][0])
            flow = Flow(0, 1, size=1_000)
            network.set_link(link, up=False)
            try:
                exchange(network, [flow], limit=5)
            except EmulationError as error:
                _say(f"{family}: {error}")
            network.set_link(link, up=True)
            exchange(network, [flow])
            _say(f"{family}: plugged in again, it carries")


def _drawn(rng: Random, num_hosts: int, bandwidth: BytesPerSecond) -> list[Flow]:
    """Return four to eight flows between different pairs of hosts."""
    pairs = list(permutations(range(num_hosts), 2))
    largest = int(bandwidth * _LONGEST)
    return [
        Flow(*pair, size=rng.randrange(largest // 6, largest))
        for pair in rng.sample(pairs, rng.randrange(4, 9))
    ]


def _rows(
    family: str, network: EmulatedNetwork, flows: list[Flow], constants: Constants
) -> list[_Row]:
    predicted = predict(network.wiring, flows, constants)
    measured = exchange(network, flows)
    alone = [predict(network.wiring, [flow], constants)[0] for flow in flows]
    names = [
        f"{family} {flow.sender} → {flow.receiver}, "
        f"{format_quantity(flow.size, 'B')} of {len(flows)}"
        for flow in flows
    ]
    return list(map(_Row, names, alone, predicted, measured))


def _summary(what: str, rows: list[_Row]) -> str:
    errors = summarize([(row.name, row.error) for row in rows])
    if errors is None:
        return f"{what}: none"
    return (
        f"{what}: {errors.rows}, median error {errors.median:.1%}, "
        f"p90 {errors.p90:.1%}, bias {errors.bias:+.1%}, "
        f"worst {errors.worst:+.1%} ({errors.worst_id})"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
