"""Plans drawn at random: graphs, rates, splits and sizes for a study.

Sizes follow from times: what a plan sends is drawn as seconds on its links, so that a
step takes about a second whatever the rate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt
from random import Random
from typing import Any

from calibration.torch_engine.studies.networks import (
    TOPOLOGIES,
    Network,
    drawn_network,
    times_sent,
)
from calibration.torch_engine.studies.rows import Drawn, Keys
from topologies.units import Bytes, parse_quantity

_ELEMENT = 4  # bytes of fp32
_FLOP_RATE = parse_quantity(
    "1 TFLOP/s", "FLOP/s"
)  # about that of the device below, to make compute worth a part
_MOST_OF_ALL = 2_400  # Mbit/s that all hosts together may send (`capacity`)


def draw(rng: Random, kind: str) -> Drawn:
    """Return a plan of a kind; some cannot be built, and are to be drawn again."""
    topology = rng.choice(TOPOLOGIES)
    hosts = rng.choice((4, 6, 8) if kind == "pipeline" else (4, 5, 6, 8, 9, 10, 12))
    if kind in {"pipeline-data", "tensor-data"}:
        hosts = rng.choice((4, 6, 8, 10, 12))
    network = drawn_network(rng, topology, int(hosts), _MOST_OF_ALL)
    plan = _KINDS[kind](rng, network)
    plan["training"] = {"precision": "fp32", "optimizer": "sgd"}
    plan["cluster"] = {
        "device": "gtx-580",
        "profile": "gloo-emulated",
        "nodes": network.hosts,
        "network": network.keys,
    }
    return Drawn(f"{kind} on {topology} of {hosts}", kind, plan)


def _data(rng: Random, network: Network, algorithm: str) -> Keys:
    """Data parallelism: gradients in buckets, during or after the backward passes."""
    time = rng.uniform(0.5, 1.4)
    layers = rng.randrange(3, 7)
    size = network.bytes_in(time) / times_sent(algorithm, network.hosts)
    width = _width(size / layers)
    parameters = layers * width**2
    compute = rng.uniform(0.1, 0.8) * time
    micro = max(1, int(compute * _FLOP_RATE / (6 * parameters)))
    order: Any = rng.choice(("auto", "rank", "shuffled"))
    if order == "shuffled":
        order = rng.sample(range(int(network.hosts)), int(network.hosts))
    return {
        "model": {"family": "mlp", "widths": [width] * (layers + 1)},
        "batch": {"global": micro * int(network.hosts), "micro": micro},
        "synchronization": {
            "algorithm": algorithm,
            "overlap": rng.random() < 0.6,
            "bucket": f"{_ELEMENT * parameters // rng.randrange(1, 4)} B",
            "ring_order": order,
        },
    }


def _pipeline(rng: Random, network: Network) -> Keys:
    """A pipeline over all hosts."""
    return _staged(rng, network, stages=int(network.hosts), replicas=1)


def _pipeline_data(rng: Random, network: Network) -> Keys:
    """Pipelines side by side, with gradients between them."""
    hosts = int(network.hosts)
    stages = rng.choice([p for p in (2, 3, 4) if hosts % p == 0 and hosts // p > 1])
    return _staged(rng, network, stages=stages, replicas=hosts // stages)


def _staged(rng: Random, network: Network, *, stages: int, replicas: int) -> Keys:
    layers = stages * rng.randrange(1, 3)
    if replicas > 1:
        size = network.bytes_in(rng.uniform(0.4, 1.0)) * stages / 2
        width = _width(size / layers)
    else:
        width = 8 * rng.randrange(64, 400)
    count = rng.randrange(2, 7)
    sent = rng.uniform(0.03, 0.15) if replicas > 1 else rng.uniform(0.05, 0.2)
    micro = max(1, int(network.bytes_in(sent) / (_ELEMENT * width)))
    return {
        "model": {"family": "mlp", "widths": [width] * (layers + 1)},
        "batch": {"global": micro * count * replicas, "micro": micro},
        "parallelism": {
            "pipeline": stages,
            "schedule": rng.choice(("1f1b", "gpipe", "zb-h1")),
        },
        "synchronization": {
            "algorithm": rng.choice(("ring", "halving-doubling", "tree")),
            "overlap": rng.random() < 0.5,
            "bucket": "1 GB",
            "ring_order": "rank",
        },
    }


def _tensor_data(rng: Random, network: Network) -> Keys:
    """Matrices divided over two hosts, and replicas of such pairs."""
    layers = 2 * rng.randrange(1, 3)
    size = network.bytes_in(rng.uniform(0.4, 1.0))
    width = _width(2 * size / layers)
    sent = rng.uniform(0.03, 0.12)
    micro = max(1, int(network.bytes_in(sent) / (_ELEMENT * width)))
    replicas = int(network.hosts) // 2
    return {
        "model": {"family": "mlp", "widths": [width] * (layers + 1)},
        "batch": {"global": micro * replicas, "micro": micro},
        "parallelism": {"tensor": 2},
        "synchronization": {
            "algorithm": rng.choice(("ring", "halving-doubling", "parameter-server")),
            "overlap": rng.random() < 0.7,
            "bucket": f"{_ELEMENT * layers * width**2 // 4} B",
            "ring_order": "rank",
        },
    }


def _width(size: Bytes) -> int:
    """Return the width of a square layer of some bytes; 16 divides it."""
    return max(16, 16 * round(sqrt(size / _ELEMENT) / 16))


_KINDS: dict[str, Callable[[Random, Network], Keys]] = {
    "ring": partial(_data, algorithm="ring"),
    "tree": partial(_data, algorithm="tree"),
    "halving-doubling": partial(_data, algorithm="halving-doubling"),
    "parameter-server": partial(_data, algorithm="parameter-server"),
    "pipeline": _pipeline,
    "pipeline-data": _pipeline_data,
    "tensor-data": _tensor_data,
}
