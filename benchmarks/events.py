"""How fast is the event engine, measured against SimPy itself?

An event is one SimPy timeout; the engine makes exactly one per op. The yardstick is a
bare loop: one process that yields as many timeouts and does nothing else, and 64 of
them, whose heap is as deep as that of 64 ranks. The goal is a third of the bare loop.

    python benchmarks/events.py [--repeats 9]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import simpy
from measuring import Sample, interleaved, rates, ratios, spread, timed

from simulator.engines.event import simulate_events
from simulator.engines.graph import Graph, build_graph
from simulator.engines.longest_path import longest_path
from simulator.job import prepare
from simulator.plan import Plan

PLANS = Path(__file__).parent.parent / "plans"
GOAL = 1 / 3
NUM_RANKS = 64


def unfolded_plan() -> Plan:
    """Return GPT-3 on one replica, 64 devices: 8 tensor x 8 pipeline."""
    plan = Plan.load(PLANS / "gpt-175b-512gpu.toml")
    return plan.replace({"cluster.nodes": 8, "batch.global": 16})


def num_events(graph: Graph) -> int:
    """Return the timeouts that one simulation makes: one per op."""
    return len(graph.busy)


def bare_loop(num_timeouts: int, num_processes: int) -> Callable[[], float]:
    """Return a run of processes that share `num_timeouts` timeouts."""
    each = num_timeouts // num_processes

    def loop(environment: simpy.Environment) -> simpy.events.ProcessGenerator:
        for _ in range(each):
            yield environment.timeout(1.0)

    def run() -> float:
        environment = simpy.Environment()
        for _ in range(num_processes):
            environment.process(loop(environment))
        environment.run()
        return each * num_processes

    return run


def main() -> None:
    """Measure, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    unfolded = prepare(unfolded_plan(), is_folded=False)
    folded = prepare(Plan.load(PLANS / "gpt-1t-3072gpu.toml"))
    graphs = {
        f"{NUM_RANKS} ranks, unfolded": build_graph(unfolded.workload, unfolded.prices),
        "GPT-1T, folded to 64 ranks": build_graph(folded.workload, folded.prices),
    }
    for name, graph in graphs.items():
        _compare(name, graph, repeats)


def _compare(name: str, graph: Graph, repeats: int) -> None:
    count = num_events(graph)

    def engine(simulate: Callable[[Graph], object]) -> Callable[[], Sample]:
        def run() -> float:
            simulate(graph)
            return count

        return lambda: timed(run)

    one, many = bare_loop(count, 1), bare_loop(count, NUM_RANKS)
    samples = interleaved(
        {
            "bare": lambda: timed(one),
            "event": engine(simulate_events),
            "bare 64": lambda: timed(many),
            "longest path": engine(longest_path),
        },
        repeats,
    )
    speed = {run: rates(each) for run, each in samples.items()}
    ratio = ratios(speed["event"], speed["bare"])
    deep = ratios(speed["event"], speed["bare 64"])
    path = ratios(speed["longest path"], speed["event"])
    print(f"{name}: {count:,} events, {repeats} repeats, median (min … max)")
    print(f"  bare loop, one process    {spread(speed['bare'], ',.0f')} /s of CPU")
    print(f"  bare loop, 64 processes   {spread(speed['bare 64'], ',.0f')} /s of CPU")
    print(f"  event engine              {spread(speed['event'], ',.0f')} /s of CPU")
    print(f"  event / bare, one process {spread(ratio, '.2f')}   goal {GOAL:.2f}")
    print(f"  event / bare, 64          {spread(deep, '.2f')}")
    print(f"  longest path / event      {spread(path, '.2f')}\n")


if __name__ == "__main__":
    main()
