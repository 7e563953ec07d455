"""Every split for real at one to four ranks on one device, beside its predicted ledger.

Ranks that share a card send CUDA tensors by gloo, since NCCL wants a card a rank. What
such a run can show is that each split trains on a GPU and sends what is predicted; its
times are those of one card that several processes share.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from calibration.torch_engine.refusals import refuse
from calibration.torch_engine.seats import seats
from calibration.torch_engine.task import assign, ledger_of
from calibration.torch_engine.training import train
from calibration.torch_engine.world import World
from simulator.api import simulate
from simulator.job import prepare
from simulator.plan import Plan
from topologies.units import Seconds, format_quantity

_MODEL = {
    "family": "gpt",
    "layers": 4,
    "hidden": 64,
    "heads": 4,
    "sequence_length": 16,
    "vocabulary": 128,
    "attention": "flash",
}
SPLITS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "one rank": (1, {}),
    "data": (2, {}),
    "tensor": (2, {"tensor": 2}),
    "pipeline": (2, {"pipeline": 2}),
    "sequence": (2, {"tensor": 2, "sequence": True}),
    "FSDP": (2, {"zero": 3}),
    "zero 1": (2, {"zero": 1}),
    "zero 2": (2, {"zero": 2}),
    "context": (2, {"context": 2}),
    "data, four ranks": (4, {}),
    "data x tensor": (4, {"tensor": 2}),
    "data x pipeline": (4, {"pipeline": 2}),
    "pipeline, zb-h1": (4, {"pipeline": 4, "schedule": "zb-h1"}),
    "hybrid FSDP": (4, {"zero": 3, "shard": 2}),
}
"""Ranks and the plan's `[parallelism]` of every split, simple ones first."""


def split_runs(device: str, end: Seconds, limit: int = 1000) -> list[dict[str, Any]]:
    """Return a row for each split that ran.

    Args:
        device: `cuda` or `cpu`.
        end: of `time.monotonic`, after which nothing begins [s].
        limit: splits at most [1].
    """
    wanted = list(SPLITS)[:limit]
    return [_row(name, device) for name in wanted if time.monotonic() < end]


def plan_of(name: str) -> Plan:
    """Return the plan of a split."""
    ranks, parallelism = SPLITS[name]
    return Plan.from_mapping(
        {
            "model": _MODEL,
            "batch": {"global": 8, "micro": 1},
            "parallelism": parallelism,
            "training": {
                "precision": "fp32",
                "optimizer": "momentum",
                "framework": "torch",
            },
            "cluster": {
                "device": "h200",
                "devices_per_node": ranks,
                "fabric": "nvlink-4",
            },
        }
    )


def _row(name: str, device: str) -> dict[str, Any]:
    """Return what one split did, or why it did not."""
    try:
        plan = plan_of(name)
        refuse(plan)
        task = assign(prepare(plan), device=device, warm_up=2, steps=3)
        with World(seats(plan.world_size)) as world:
            reports = world.run(partial(train, task))
    except Exception as error:  # noqa: BLE001 - a split that fails is a finding
        return {"split": name, "failed": str(error).partition("\n")[0]}
    sent = ledger_of(reports)
    slowest = max(sorted(report.times)[1] for report in reports)
    return {
        "split": name,
        "ranks": plan.world_size,
        "step": format_quantity(slowest, "s", 4),
        "bytes": sum(row.bytes for row in sent),
        "is_ledger_predicted": simulate(plan).ledger == sent,
    }
