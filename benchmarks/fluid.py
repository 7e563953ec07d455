"""What does one round of filling cost, against one sparse matrix-vector product?

Rates of 10,000 concurrent random flows over a 1,024-host fat-tree, on single hashed
paths and split over all; beside it, in turns, SciPy's product of the flow-by-link
matrix with a vector. The goal is within 3 times of the product for each round.

A round settles all links that are the lowest of their flows, at many levels at once,
and later rounds have fewer flows, while the product is always that of all. So the time
is also set against the number of levels, which are the rounds of the textbook.

    python benchmarks/fluid.py [--repeats 25] [--flows 10000] [--ports 16]
"""

from __future__ import annotations

import argparse

import numpy as np
from measuring import interleaved, ratios, spread, timed
from scipy.sparse import csr_array

from simulator.network.fair import Flows, fill
from topologies.graphs import Routes, build, routes

PRODUCTS = 20  # to a sample, as one is near the clock's resolution


def main() -> None:
    """Measure, and print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--flows", type=int, default=10_000)
    parser.add_argument("--ports", type=int, default=16, help="of a switch")
    options = parser.parse_args()
    network = build("fat-tree", k=options.ports, bandwidth=12.5e9, latency=1e-6)
    rng = np.random.default_rng(0)
    hosts = network.num_hosts
    sender = rng.integers(0, hosts, options.flows)
    receiver = (sender + rng.integers(1, hosts, options.flows)) % hosts
    print(f"{options.flows} flows, {network.name}, {hosts} hosts, {options.repeats}×")
    for kind in ("one", "hashed", "split"):
        pairs = np.stack([sender, receiver], 1)
        found = routes(network, pairs, spread=kind)
        compare(kind, found, network.bandwidth, options.repeats)


def compare(kind: str, found: Routes, bandwidth: np.ndarray, repeats: int) -> None:
    """Print the time of a round and of a product, and their ratio."""
    flows = Flows(found.start, found.link, found.fraction, np.ones(len(found.latency)))
    shape = (len(found.latency), len(bandwidth))
    matrix = csr_array((found.fraction, found.link, found.start), shape=shape)
    vector = np.ones(shape[1])

    def product() -> float:
        for _ in range(PRODUCTS):
            matrix @ vector
        return PRODUCTS

    samples = interleaved(
        {
            "round": lambda: timed(lambda: fill(flows, bandwidth)[1]),
            "product": lambda: timed(product),
        },
        repeats,
    )
    each = {
        name: [1e6 * sample.wall / sample.count for sample in taken]
        for name, taken in samples.items()
    }
    rates, rounds = fill(flows, bandwidth)
    levels = len(np.unique(np.round(np.log(rates), 9)))
    whole = [1e3 * sample.wall for sample in samples["round"]]
    level = [time * rounds / levels for time in each["round"]]
    print(f"{kind}: {len(found.link)} links of flows, {rounds} rounds, {levels} levels")
    print(f"  all rates        {spread(whole)} ms")
    print(f"  a round          {spread(each['round'])} us")
    print(f"  a product        {spread(each['product'])} us")
    print(f"  round ÷ product  {spread(ratios(each['round'], each['product']))}")
    print(f"  level ÷ product  {spread(ratios(level, each['product']))}")


if __name__ == "__main__":
    main()
