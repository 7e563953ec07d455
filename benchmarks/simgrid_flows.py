"""Do flows end when SimGrid's flow model says?

Random flows on random networks (`simgrid_cases.py`) run in our fluid network and, by
the same lists of links, in SimGrid. Compared is how long each flow takes, from its
start to its end; a case counts with the flow that differs most.

    python benchmarks/simgrid_flows.py [--cases 200] [--seed 0] [--write FILE]

It needs g++ and SimGrid's headers (Debian: libsimgrid-dev), and says so without them.

Limits: SimGrid's model is CM02, without acknowledgements on the way back, windows, and
factors on latency and bandwidth; all of these correct for TCP and are no sharing.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simpy
from measuring import compiled
from simgrid_cases import MOST_FLOWS, SETS, Case, Flow, cases

from simulator.network import FluidNetwork

MODEL = ("network/model:CM02", "network/crosstraffic:0", "network/TCP-gamma:0")
PRECISION = {
    "default": (),
    "fine": ("maxmin/precision:1e-9", "surf/precision:1e-12"),
}
WORST = 5  # cases that are written out


class Difference(NamedTuple):
    """The flow of a case on which the two sides differ most."""

    relative: float
    case: Case
    flow: int
    ours: float
    theirs: float


def main() -> None:
    """Draw cases, run both sides, and print or write how they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="in each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="a file for the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        referee = Path(folder) / "simgrid_flows"
        reason = compiled(Path(__file__).with_suffix(".cpp"), referee)
        if reason:
            print(f"skipped: {reason}")
            return
        parts = [head(referee, options.seed)]
        for kind in SETS:
            drawn = list(cases(kind, options.cases, options.seed))
            ours = [fluid_ends(case) for case in drawn]
            for name, precision in PRECISION.items():
                theirs = referee_ends(referee, drawn, precision)
                found = differences(drawn, ours, theirs)
                parts.append(section(kind, name, found))
    report = "\n".join(parts)
    print(report)
    if options.write:
        options.write.write_text(report, encoding="utf-8")


def fluid_ends(case: Case) -> list[float]:
    """Return when each flow ends in our network [s]."""
    clock = simpy.Environment()
    network = FluidNetwork(clock, case.bandwidth)
    ends = [0.0] * len(case.flows)

    def run(index: int, flow: Flow) -> Generator[simpy.Event, float, None]:
        yield clock.timeout(flow.start)
        sizes = flow.part * flow.times
        done = network.start(flow.link, sizes, weight=flow.weight, latency=flow.latency)
        ends[index] = yield done

    for index, flow in enumerate(case.flows):
        clock.process(run(index, flow))
    clock.run()
    return ends


def referee_ends(
    referee: Path, drawn: list[Case], precision: Sequence[str]
) -> list[list[float]]:
    """Return when each flow of each case ends in SimGrid [s]."""
    command = [str(referee), "--log=root.t:critical"]
    command += [f"--cfg={each}" for each in (*MODEL, *precision)]

    def ends(case: Case) -> list[float]:
        done = subprocess.run(
            command, input=written(case), check=True, capture_output=True, text=True
        )
        return [float(line) for line in done.stdout.split()]

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(ends, drawn))


def written(case: Case) -> str:
    """Write a case as the referee reads it."""
    lines = [f"{len(case.bandwidth)} {len(case.flows)}"]
    for width, delay in zip(case.bandwidth, case.latency, strict=True):
        lines.append(f"{float(width)!r} {float(delay)!r}")
    for flow in case.flows:
        route = np.repeat(flow.link, flow.times).tolist()
        lines.append(" ".join(map(str, [flow.start, flow.part, len(route), *route])))
    return "\n".join(lines)


def differences(
    drawn: list[Case], ours: list[list[float]], theirs: list[list[float]]
) -> list[Difference]:
    """Return the greatest difference of every case, the worst case first."""
    found = []
    for case, mine, other in zip(drawn, ours, theirs, strict=True):
        start = np.array([flow.start for flow in case.flows])
        took, expected = np.array(mine) - start, np.array(other) - start
        relative = np.abs(took - expected) / expected
        flow = int(relative.argmax())
        found.append(
            Difference(
                float(relative[flow]),
                case,
                flow,
                float(took[flow]),
                float(expected[flow]),
            )
        )
    return sorted(found, key=lambda each: -each.relative)


def head(referee: Path, seed: int) -> str:
    """Write what was run."""
    printed = subprocess.run(
        [str(referee), "--version"], check=False, capture_output=True, text=True
    )
    words = (printed.stdout + printed.stderr).split()
    release = words[words.index("version") + 1]
    names = ("rehearsal", "numpy", "simpy")
    return "\n".join(
        [
            "# How long flows take in our fluid network and in SimGrid's flow model;",
            "# python benchmarks/simgrid_flows.py writes this file.",
            f'date = "{datetime.now(UTC):%Y-%m-%d}"',
            f"seed = {seed}",
            f"flows = [2, {MOST_FLOWS}] # of a case, drawn evenly",
            f'simgrid = "{release}"',
            f"simgrid_options = {list(MODEL)}".replace("'", '"'),
            *(f'{name} = "{version(name)}"' for name in names),
            "",
        ]
    )


def section(kind: str, precision: str, found: list[Difference]) -> str:
    """Write how one set of cases differs."""
    relative = np.array([each.relative for each in found])
    flows = sum(len(each.case.flows) for each in found)
    lines = [
        "[[set]]",
        f'name = "{kind}"',
        f'precision = "{precision}"',
        f"precision_options = {list(PRECISION[precision])}".replace("'", '"'),
        f"cases = {len(found)}",
        f"flows = {flows}",
        f"over_one_percent = {np.sum(relative > 1e-2)}",
        f"over_one_millionth = {np.sum(relative > 1e-6)}",
        f"median = {np.median(relative):.2e}",
        f"p90 = {np.quantile(relative, 0.9):.2e}",
        f"p99 = {np.quantile(relative, 0.99):.2e}",
        f"max = {relative.max():.2e}",
        "worst = [",
    ]
    for each in found[:WORST]:
        row = f'case = {each.case.number}, network = "{each.case.network}"'
        row += f", flows = {len(each.case.flows)}, flow = {each.flow}"
        row += f", ours_s = {each.ours!r}, simgrid_s = {each.theirs!r}"
        lines.append(f"  {{ {row}, difference = {each.relative:.2e} }},")
    return "\n".join([*lines, "]", ""])


if __name__ == "__main__":
    main()
