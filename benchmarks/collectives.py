"""What does a ring all-reduce cost to simulate, whole and message by message?

In turns, for each number of ranks on a ring: our fluid form from rounds to the end,
the same with its routes given, and run again with what was placed; our expanded form;
SimGrid's C++ API with one actor a host; and a bare SimPy loop with a timeout for every
message. All but the last simulate the same and have to end at the same time.

The fluid form against the messages is a comparison of methods: it is exact only while
ranks are in step, and `tests/simulator/network/test_traffic_events.py` shows what
happens where they are not. The expanded form is the one that does what SimGrid does.

    python benchmarks/collectives.py [--repeats 5] [--ranks 64 256 1024] [--write FILE]

SimGrid needs g++ and its headers (Debian: libsimgrid-dev), and is skipped without.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import simpy
from measuring import Sample, compiled, interleaved, ratios, spread, timed
from numpy.typing import ArrayLike
from typing_extensions import override

from simulator.collectives.table import TABLE
from simulator.network import FluidNetwork, Router, Traffic
from topologies.graphs import Routes, build
from topologies.graphs.arrays import Floats
from topologies.graphs.wiring import Wiring, usual_paths

MODEL = ("network/model:CM02", "network/crosstraffic:0", "network/TCP-gamma:0")
SIZE, LATENCY, BANDWIDTH = 2.0**30, 5e-7, 50 * 2.0**30
LARGE = 16_384  # ranks; ours only, the messages would be 537 million
GOAL = 500  # times less than SimGrid, at 1,024 ranks
LOOPS = 10  # runs of the fluid form in a sample
SAME = 1e-9

FLUID = ("fluid", "fluid, routes given", "fluid, placed before")


@dataclass(frozen=True, slots=True)
class Given:
    """A router that knows its routes; what it costs to find them is left out."""

    router: Router
    found: Routes

    @property
    def num_endpoints(self) -> int:
        """Endpoints, numbered from 0."""
        return self.router.num_endpoints

    @property
    def bandwidth(self) -> Floats:
        """Bandwidth of every link."""
        return self.router.bandwidth

    def routes(self, _: ArrayLike) -> Routes:
        """Return the one set of routes there is."""
        return self.found

    def link_name(self, link: int) -> str:
        """Return what to call a link."""
        return self.router.link_name(link)

    def describe(self) -> str:
        """Return what the network is."""
        return self.router.describe()


class Counting(simpy.Environment):
    """A clock that counts what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.events = 0

    @override
    def step(self) -> None:
        """Let the next thing happen."""
        super().step()
        self.events += 1


class Outcomes(dict[str, tuple[float, int]]):
    """Simulated time and clock events of what was run last, by name."""


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ranks", type=int, nargs="*", default=[64, 256, 1024])
    parser.add_argument("--write", type=Path, help="a file for the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        referee = Path(folder) / "simgrid_ring"
        source = Path(__file__).with_name("simgrid_ring.cpp")
        reason = compiled(source, referee)
        if reason:
            print(f"SimGrid skipped: {reason}")
        parts = [head(options.repeats, "none" if reason else simgrid_version(referee))]
        for ranks in options.ranks:
            parts += compare(ranks, options.repeats, None if reason else referee)
    for family in ("ring", "star", "tree"):
        for ranks in (*options.ranks, LARGE):
            parts += scale(family, ranks, options.repeats)
    if options.write:
        options.write.write_text("\n".join(parts), encoding="utf-8")


def compare(ranks: int, repeats: int, referee: Path | None) -> list[str]:
    """Print all runs of one number of ranks, and return them for the file."""
    messages = 2 * (ranks - 1) * ranks
    router = network_of("ring", ranks)
    outcomes = Outcomes()
    runs: dict[str, Callable[[], Sample]] = fluid_runs(router, ranks, outcomes)
    job = placed(router, ranks)
    runs["expanded"] = partial(
        timed, partial(run, "expanded", lambda: job, outcomes, 1, messages)
    )
    runs["bare SimPy"] = partial(timed, partial(bare_loop, messages))
    if referee:
        runs["SimGrid"] = partial(referee_run, referee, ranks, outcomes)
    samples = interleaved(runs, repeats)
    cpu = per_run(samples)
    print(f"ring of {ranks}: {messages:,} messages, median (least … most) of {repeats}")
    for name, seconds in cpu.items():
        line = f"  {name:22}{spread([1e3 * each for each in seconds])} ms CPU"
        if name in outcomes:
            line += f"   {outcomes[name][1]:,} events" * (name != "SimGrid")
        print(line)
    yardsticks = [each for each in ("SimGrid", "bare SimPy") if each in cpu]
    for under in yardsticks:
        for name in (*FLUID, "expanded"):
            print(f"  {under} ÷ {name:22}{spread(ratios(cpu[under], cpu[name]))}")
    rate = [messages / each for each in cpu["expanded"]]
    print(f"  expanded {spread(rate, ',.0f')} messages per CPU second")
    expected = TABLE["all-reduce", "ring"].time(SIZE, ranks, LATENCY, BANDWIDTH)
    worst = max(abs(time / expected - 1) for time, _ in outcomes.values())
    print(f"  simulated {expected:.9g} s; greatest relative difference {worst:.1e}")
    if worst > SAME:
        raise AssertionError(f"simulated times differ by {worst}")
    return section("ring", ranks, samples, outcomes)


def scale(family: str, ranks: int, repeats: int) -> list[str]:
    """Print the fluid form alone on one network, and return it for the file."""
    router = network_of(family, ranks)
    outcomes = Outcomes()
    samples = interleaved(fluid_runs(router, ranks, outcomes), repeats)
    print(f"{family} of {ranks:,}: {outcomes['fluid'][1]} events")
    for name, seconds in per_run(samples).items():
        print(f"  {name:22}{spread([1e3 * each for each in seconds])} ms CPU")
    return section(family, ranks, samples, outcomes)


def network_of(family: str, ranks: int) -> Wiring:
    """Return a network of a family; the tree has three levels, and hosts to spare."""
    link = {"bandwidth": BANDWIDTH, "latency": LATENCY}
    if family == "tree":
        ports = 2
        while ports**3 // 4 < ranks:
            ports += 2
        network = build("fat-tree", k=ports, **link)
    else:
        network = build(family, hosts=ranks, **link)
    return Wiring(network=network, paths=usual_paths(network))


def fluid_runs(
    router: Router, ranks: int, outcomes: Outcomes
) -> dict[str, Callable[[], Sample]]:
    """Return the fluid form from rounds on, with routes given, and placed before."""
    job = placed(router, ranks)
    ends = [(rank, (rank + 1) % ranks) for rank in range(ranks)]
    given = Given(router, router.routes(ends))
    make = {
        FLUID[0]: lambda: placed(router, ranks),
        FLUID[1]: lambda: placed(given, ranks),
        FLUID[2]: lambda: job,
    }
    loops = LOOPS if ranks < LARGE else 1
    return {
        name: partial(timed, partial(run, name, each, outcomes, loops, loops))
        for name, each in make.items()
    }


def placed(router: Router, ranks: int) -> Traffic:
    """Return the all-reduce on a network."""
    rounds = TABLE["all-reduce", "ring"].rounds(ranks, SIZE)
    return Traffic.place(router, [range(ranks)], rounds, latency=0.0)


def run(
    name: str,
    make: Callable[[], Traffic],
    outcomes: Outcomes,
    loops: int,
    count: int,
) -> float:
    """Run the all-reduce a few times; return what the sample is to count."""
    for _ in range(loops):
        job = make()
        clock = Counting()
        network = FluidNetwork(clock, job.bandwidth)
        job.run(network, expanded=name == "expanded")
        clock.run()
        outcomes[name] = (clock.now, clock.events)
    return count


def bare_loop(count: int) -> float:
    """Let a process wait for one timeout after the other."""
    clock = simpy.Environment()

    def loop() -> simpy.events.ProcessGenerator:
        for _ in range(count):
            yield clock.timeout(1.0)

    clock.process(loop())
    clock.run()
    return 1


def referee_run(referee: Path, ranks: int, outcomes: Outcomes) -> Sample:
    """Run SimGrid's side; the sample is the CPU time of its run without the start."""
    numbers = [str(ranks), f"{SIZE:.0f}", repr(LATENCY), f"{BANDWIDTH:.0f}"]
    command = [str(referee), *numbers, "--log=root.thres:error"]
    command += [f"--cfg={each}" for each in MODEL]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    time, cpu, messages = map(float, done.stdout.split())
    outcomes["SimGrid"] = (time, int(messages))
    return Sample(cpu, cpu, messages)


def per_run(samples: Mapping[str, list[Sample]]) -> dict[str, list[float]]:
    """Return CPU seconds of one all-reduce; only fluid samples hold several."""
    return {
        name: [each.cpu / (each.count if name in FLUID else 1) for each in taken]
        for name, taken in samples.items()
    }


def head(repeats: int, simgrid: str) -> str:
    """Write what was run, and on what."""
    names = ("rehearsal", "numpy", "simpy")
    return "\n".join(
        [
            "# CPU seconds of a ring all-reduce, in turns;",
            "# python benchmarks/collectives.py --write FILE writes this file.",
            f'date = "{datetime.now(UTC):%Y-%m-%d}"',
            f'processor = "{processor()}"',
            f'python = "{platform.python_version()}"',
            *(f'{name} = "{version(name)}"' for name in names),
            f'simgrid = "{simgrid}"',
            f"simgrid_options = {list(MODEL)}".replace("'", '"'),
            f"repeats = {repeats}",
            f"size_bytes = {SIZE}",
            f"latency_s = {LATENCY}",
            f"bandwidth_bytes_per_s = {BANDWIDTH}",
            "",
        ]
    )


def processor() -> str:
    """Return the name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def simgrid_version(referee: Path) -> str:
    """Return the version that SimGrid tells."""
    told = subprocess.run(
        [str(referee), "--version"], check=False, capture_output=True, text=True
    )
    words = (told.stdout + told.stderr).split()
    return words[words.index("version") + 1]


def section(
    family: str, ranks: int, samples: Mapping[str, list[Sample]], outcomes: Outcomes
) -> list[str]:
    """Write the samples of one network."""
    lines = ["[[case]]", f'network = "{family}"', f"ranks = {ranks}"]
    for name, seconds in per_run(samples).items():
        key = name.lower().replace(", ", "_").replace(" ", "_")
        lines.append(f"{key}_cpu_s = {[float(f'{each:.4g}') for each in seconds]}")
        if name in outcomes:
            time, events = outcomes[name]
            lines.append(f"{key}_simulated_s = {time!r}")
            word = "messages" if name == "SimGrid" else "events"
            lines.append(f"{key}_{word} = {events}")
    return [*lines, ""]


if __name__ == "__main__":
    main()
