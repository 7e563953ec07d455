"""Plans drawn at random whose kernels run for real, on hosts that share a machine.

What a plan sends is drawn as seconds on its links, and what it computes as seconds of
all cores together; which of both is long is drawn too. Rough rates of the machine turn
seconds into samples, so nothing of a prediction depends on them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, sqrt
from random import Random
from typing import Any, NamedTuple

from calibration.torch_engine.studies.networks import (
    TOPOLOGIES,
    Network,
    drawn_network,
    times_sent,
)
from calibration.torch_engine.studies.rows import Drawn, Keys
from topologies.units import Count, Flop, Ratio, Seconds, parse_quantity

PROFILE = "emulated-cpu.toml"
"""What plans call the profile of the machine, a file beside those of results."""

_ELEMENT = 4  # bytes of fp32
_TOKENS = 64
_WORDS = 500
_RESNET = parse_quantity("10.9 GFLOP", "FLOP")  # a sample of 224 pixels, both passes
_MANY = parse_quantity("24 MB", "B") / _ELEMENT  # parameters; resnet18 has twice that
_MAX_WIDTH = 960  # within the widths of kernels that are measured
_MAX_DEPTH = 6  # layers of a stage
_MOST_SAMPLES = {"mlp": 8192, "gpt": 192, "resnet18": 48}  # as kernels are measured
_MOST_OF_ALL = 2_000  # Mbit/s that all hosts together may send, beside kernels
_EMPHASIS: tuple[tuple[Ratio, Ratio], ...] = (
    (1, 1),
    (1, 1),
    (1, 1),
    (0.3, 1),
    (1, 0.3),
)
_RATE = {
    name: parse_quantity(rate, "FLOP/s")
    for name, rate in {
        "mlp": "250 GFLOP/s",
        "gpt": "120 GFLOP/s",
        "resnet18": "100 GFLOP/s",
    }.items()
}


class Wanted(NamedTuple):
    """What a step is to be made of.

    Fields:
        network: between the hosts.
        cores: that they share [1].
        sending: time of all messages, one after the other [s].
        computing: time of all kernels of a rank among its peers [s].
    """

    network: Network
    cores: Count
    sending: Seconds
    computing: Seconds

    def flop(self, family: str) -> Flop:
        """Return what a rank can compute in its time, about."""
        return (
            self.computing * min(1.0, self.cores / self.network.hosts) * _RATE[family]
        )


def draw(rng: Random, kind: str, cores: Count) -> Drawn:
    """Return a plan of a kind; some cannot be built, and are to be drawn again.

    Args:
        rng: of the draws.
        kind: of split.
        cores: of the machine [1].
    """
    topology = rng.choice(TOPOLOGIES)
    hosts = rng.choice((4, 5, 6, 8, 9, 12))
    if kind in {"pipeline", "pipeline-data", "tensor-data"}:
        hosts = rng.choice((4, 6, 8) if kind == "pipeline" else (4, 6, 8, 12))
    network = drawn_network(rng, topology, hosts, _MOST_OF_ALL)
    time = rng.uniform(0.3, 0.9)
    computing, sending = (time * weight for weight in rng.choice(_EMPHASIS))
    plan = _KINDS[kind](rng, Wanted(network, cores, sending, computing))
    plan["training"] = {"precision": "fp32", "optimizer": "momentum"}
    plan["cluster"] = {
        "device": PROFILE,
        "profile": PROFILE,
        "shared_cores": cores,
        "nodes": network.hosts,
        "network": network.keys,
    }
    family = plan["model"].get("family") or plan["model"]["name"]
    return Drawn(f"{kind} of {family} on {topology} of {hosts}", kind, plan)


def _data(rng: Random, wanted: Wanted, algorithm: str) -> Keys:
    """Data parallelism: gradients in buckets, during or after the backward passes."""
    hosts = int(wanted.network.hosts)
    size = wanted.network.bytes_in(wanted.sending) / times_sent(algorithm, hosts)
    model, per_sample = _model(rng, size / _ELEMENT, stages=1)
    micro = round(wanted.flop(_family(model)) / per_sample)
    micro = min(max(1, micro), _MOST_SAMPLES[_family(model)])
    return {
        "model": model,
        "batch": {"global": micro * hosts, "micro": micro},
        "synchronization": {
            "algorithm": algorithm,
            "overlap": rng.random() < 0.5,
            "bucket": f"{round(size) // rng.randrange(1, 4)} B",
            "ring_order": rng.choice(("auto", "rank")),
        },
    }


def _staged(rng: Random, wanted: Wanted, *, has_replicas: bool) -> Keys:
    """A pipeline over all hosts, or pipelines side by side."""
    hosts = int(wanted.network.hosts)
    whole = [p for p in (2, 3, 4) if hosts % p == 0 and hosts // p > 1]
    stages = rng.choice(whole) if has_replicas else hosts
    replicas, count = hosts // stages, rng.randrange(2, 7)
    share = 0.5 if has_replicas else 1.0  # of the sending, between stages
    in_a_row = 2 * (count + stages - 2)
    message = wanted.network.bytes_in(share * wanted.sending / in_a_row)
    if has_replicas:
        size = wanted.network.bytes_in(wanted.sending / 2) * stages / 2
        model, _ = _model(rng, size / _ELEMENT, stages)
    else:
        # Of a width w a message carries S / 4w samples, 6 w² FLOP each and layer.
        width = _ELEMENT * wanted.flop("mlp") / (6 * message * count)
        model, _ = _model(rng, stages * width * _MAX_WIDTH, stages)
    micro = max(1, round(message / (_ELEMENT * _boundary(model))))
    schedule = rng.choice(("1f1b", "gpipe", "zb-h1"))
    return {
        "model": model,
        "batch": {"global": micro * count * replicas, "micro": micro},
        "parallelism": {"pipeline": stages, "schedule": schedule},
        "synchronization": {
            "algorithm": rng.choice(("ring", "halving-doubling", "tree")),
            "overlap": schedule != "zb-h1" and rng.random() < 0.5,
            "bucket": "1 GB",
            "ring_order": "rank",
        },
    }


def _tensor_data(rng: Random, wanted: Wanted) -> Keys:
    """Matrices divided over two hosts, and replicas of such pairs."""
    replicas = int(wanted.network.hosts) // 2
    size = wanted.network.bytes_in(wanted.sending / 2)
    model, per_sample = _model(rng, 2 * size / _ELEMENT, 2)
    sums = 4 * model["layers"] if "layers" in model else len(model["widths"]) - 1
    by_link = size / (_ELEMENT * _boundary(model) * sums)
    by_core = 2 * wanted.flop(_family(model)) / per_sample
    micro = max(1, round(min(by_link, by_core)))
    return {
        "model": model,
        "batch": {"global": micro * replicas, "micro": micro},
        "parallelism": {"tensor": 2},
        "synchronization": {
            "algorithm": rng.choice(("ring", "halving-doubling", "parameter-server")),
            "overlap": rng.random() < 0.5,
            "bucket": f"{max(1, round(size) // 3)} B",
            "ring_order": "rank",
        },
    }


def _boundary(model: Keys) -> Count:
    """Return the numbers of a sample between two layers [1]."""
    is_chain = "widths" in model
    return float(model["widths"][0] if is_chain else _TOKENS * model["hidden"])


def _model(rng: Random, parameters: Count, stages: int) -> tuple[Keys, Flop]:
    """Return a network of about so many parameters, and its FLOP of a sample.

    Args:
        rng: of the draws.
        parameters: wanted [1].
        stages: into which its layers are cut, or divided [1].
    """
    has_room = stages == 1 and parameters > _MANY
    kind = rng.choice(("mlp", "gpt", *(("resnet18",) if has_room else ())))
    if kind == "resnet18":
        image = rng.choice((32, 48, 64))
        return {"name": kind, "image": image}, _RESNET * (image / 224) ** 2
    if kind == "mlp":
        least = max(1, round(rng.uniform(3, 6) / stages))
        full = ceil(parameters / stages / _MAX_WIDTH**2)
        layers = stages * min(max(least, full), _MAX_DEPTH)
        width = 16 * round(sqrt(parameters / layers) / 16)
        width = min(max(128, width), _MAX_WIDTH)
        return {"family": kind, "widths": [width] * (layers + 1)}, 6 * layers * width**2
    hidden = 64 * rng.randrange(2, 6)
    layers = max(1, round(parameters / (12 * hidden**2) / stages))
    layers = stages * min(layers, _MAX_DEPTH)
    model = {
        "family": kind,
        "layers": layers,
        "hidden": hidden,
        "heads": hidden // 32,
        "sequence_length": _TOKENS,
        "vocabulary": _WORDS,
    }
    return model, 6 * _TOKENS * (12 * layers * hidden**2 + _WORDS * hidden)


def _family(model: Keys) -> str:
    return str(model.get("family") or model["name"])


_KINDS: dict[str, Callable[[Random, Wanted], Any]] = {
    "ring": partial(_data, algorithm="ring"),
    "tree": partial(_data, algorithm="tree"),
    "halving-doubling": partial(_data, algorithm="halving-doubling"),
    "parameter-server": partial(_data, algorithm="parameter-server"),
    "pipeline": partial(_staged, has_replicas=False),
    "pipeline-data": partial(_staged, has_replicas=True),
    "tensor-data": _tensor_data,
}
