"""Small plans for timed runs, and what is left of processes and namespaces."""

import os
from pathlib import Path

import pytest

from calibration.emulation.machine import abilities
from simulator.job import prepare
from simulator.plan import Plan

needs_emulation = pytest.mark.skipif(
    bool(abilities().reason) or not abilities().has_fair,
    reason=abilities().reason or "its kernel has no htb or u32",
)
WIDTH = 64


def mapping(topology="ring", hosts=3, rate="100 Mbit/s", micro=64, **sections):
    """Data parallelism of a perceptron of six equal layers, and what replaces it."""
    network = {
        "topology": topology,
        "link": "ethernet-1",
        "bandwidth": rate,
        "multipath": "one",
    }
    degrees = sections.get("parallelism", {})
    replicas = hosts // (degrees.get("pipeline", 1) * degrees.get("tensor", 1))
    count = sections.pop("count", 1)
    return {
        "model": {"family": "mlp", "widths": [WIDTH] * 7},
        "batch": {"global": micro * count * replicas, "micro": micro},
        "training": {"precision": "fp32", "optimizer": "sgd"},
        "cluster": {
            "device": "gtx-580",
            "profile": "gloo-emulated",
            "nodes": hosts,
            "network": network,
        },
        **sections,
    }


def job_of(**keys):
    """The job of a plan, all ranks written out."""
    return prepare(Plan.from_mapping(mapping(**keys)), is_folded=False)


def spaces():
    """The network namespaces in which some process is."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.add(str((folder / "ns" / "net").readlink()))
        except OSError:  # ended meanwhile, or of another user
            continue
    return found


def marked(mark):
    """Processes with a word in the environment that they were started with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
