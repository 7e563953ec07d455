"""How many plans a second does the analytical engine's batch mode predict?

Every split of GPT-3 175B over 512 A100, three kinds of recomputation, timed with and
without listing the splits; beside it, one plan at a time by the longest path. With a
checkout of Calculon (https://github.com/calculon-ai/calculon), its own model runs the
same splits in the same process, in turns, as its own search calls it and with its
logging off.

    python benchmarks/batch.py [--repeats 9] [--calculon PATH] [--rounds 16]

Limits: the two do not do the same. Ours prices kernels by tiles and waves and counts
the host; Calculon's model has offloading and other options that ours lacks, and makes
a dictionary of statistics for each plan.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
from measuring import interleaved, rates, ratios, spread, timed

from simulator.api import simulate
from simulator.batch import Splits, predict_batch
from simulator.batch.all_splits import all_splits
from simulator.plan import Plan

PLANS = Path(__file__).parent.parent / "plans"
RECOMPUTE = {"none": "none", "selective": "attn_only", "full": "full"}
NODE = 8  # Calculon's system has a fast network of eight


def main() -> None:
    """Measure, and print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=16, help="copies of the batch")
    parser.add_argument("--calculon", type=Path, help="a checkout of Calculon")
    parser.add_argument("--sample", type=int, default=200, help="plans one by one")
    options = parser.parse_args()
    plan = Plan.load(PLANS / "gpt-175b-512gpu.toml")
    splits = all_splits(plan)
    plans = [plan.replace({"parallelism.recompute": kind}) for kind in RECOMPUTE]
    chosen = sample(splits, options.sample)
    runs = {
        "batch": batch(plans, splits),
        "batch, large": batch(plans, repeated(splits, options.rounds)),
        "batch, with listing": listing_and_batch(plans),
        "longest path": one_by_one(plans[-1], splits, chosen[:20]),
    }
    if options.calculon:
        runs["Calculon"] = calculon(options.calculon, plan, splits, chosen)
    samples = interleaved(
        {name: lambda run=run: timed(run) for name, run in runs.items()},
        options.repeats,
    )
    speed = {name: rates(each) for name, each in samples.items()}
    print(f"GPT-3 175B, 512 A100, {len(splits)} splits x {len(plans)} recomputations,")
    print(f"{options.repeats} repeats, median (min … max) of plans per CPU second")
    for name, each in speed.items():
        count = median(sample.count for sample in samples[name])
        print(f"  {name:<20} {spread(each, ',.0f')}   {count:,.0f} plans a repeat")
    for name in ("longest path", "Calculon"):
        if name in speed:
            ratio = ratios(speed["batch"], speed[name])
            large = ratios(speed["batch, large"], speed[name])
            print(f"  batch / {name:<12} {spread(ratio, ',.0f')}")
            print(f"  large / {name:<12} {spread(large, ',.0f')}")


def batch(plans: list[Plan], splits: Splits) -> Callable[[], float]:
    """Return a run that predicts all `splits` of each plan."""

    def run() -> float:
        for plan in plans:
            predict_batch(plan, splits)
        return len(plans) * len(splits)

    return run


def listing_and_batch(plans: list[Plan]) -> Callable[[], float]:
    """Return a run that lists the splits first, as a search does."""

    def run() -> float:
        splits = all_splits(plans[0])
        for plan in plans:
            predict_batch(plan, splits)
        return len(plans) * len(splits)

    return run


def repeated(splits: Splits, rounds: int) -> Splits:
    """Return the splits several times over."""
    columns = {field.name: getattr(splits, field.name) for field in fields(splits)}
    return Splits.of({name: np.tile(value, rounds) for name, value in columns.items()})


def sample(splits: Splits, count: int) -> list[int]:
    """Return random positions of splits whose tensor ranks fit a node."""
    fitting = [i for i in range(len(splits)) if splits.tensor[i] <= NODE]
    return Random(0).sample(fitting, min(count, len(fitting)))


def one_by_one(plan: Plan, splits: Splits, chosen: list[int]) -> Callable[[], float]:
    """Return a run of the exact engine on a few of the splits."""
    plans = [
        plan.replace(
            {
                "parallelism.tensor": int(splits.tensor[i]),
                "parallelism.pipeline": int(splits.pipeline[i]),
                "parallelism.data": int(splits.data[i]),
                "parallelism.virtual_stages": int(splits.chunks[i]),
                "parallelism.schedule": (
                    "interleaved" if splits.chunks[i] > 1 else "1f1b"
                ),
                "batch.micro": int(splits.micro[i]),
            }
        )
        for i in chosen
    ]

    def run() -> float:
        for each in plans:
            simulate(each, engine="analytical")
        return len(plans)

    return run


def calculon(
    checkout: Path, plan: Plan, splits: Splits, chosen: list[int]
) -> Callable[[], float]:
    """Return a run of Calculon's model on the same splits, as its search calls it."""
    sys.path.insert(0, str(checkout))
    for name in ("pandas", "psutil"):  # for its command line, not for its model
        sys.modules.setdefault(name, ModuleType(name))
    from calculon import System  # noqa: PLC0415 - a checkout, where there is one
    from calculon.llm import Llm  # noqa: PLC0415

    def read(path: str) -> dict[str, Any]:
        return json.loads((checkout / path).read_text("utf-8"))

    application = Llm.Application(read("models/gpt3-175B.json"))
    system = System(read("systems/a100_80g.json"))
    logger = logging.getLogger("calculon")
    logger.disabled = True
    logging.disable(logging.CRITICAL)
    executions = [
        calculon_execution(plan, splits, i, recompute)
        for i in chosen
        for recompute in RECOMPUTE.values()
    ]

    def run() -> float:
        done = 0
        for execution in executions:
            try:
                model = Llm(application, logger)
                model.compile(system, Llm.Execution.from_json(execution))
                model.run(system)
                model.get_stats_json(False)
            except Llm.Error:  # does not fit, or is not allowed: an answer as well
                pass
            done += 1
        return done

    return run


def calculon_execution(
    plan: Plan, splits: Splits, position: int, recompute: str
) -> dict[str, Any]:
    """Return a split in Calculon's terms."""
    tensor = int(splits.tensor[position])
    return {
        "num_procs": plan.world_size,
        "tensor_par": tensor,
        "pipeline_par": int(splits.pipeline[position]),
        "data_par": int(splits.data[position]),
        "tensor_par_net": 0,
        "pipeline_par_net": 1,
        "data_par_net": 1,
        "batch_size": plan.batch.global_,
        "microbatch_size": int(splits.micro[position]),
        "datatype": "float16",
        "fused_activation": True,
        "attention_type": "multihead",
        "activation_recompute": recompute,
        "pipeline_interleaving": int(splits.chunks[position]),
        "optimizer_sharding": False,
        "tensor_par_comm_type": "ar",
        "tensor_par_overlap": "none",
        "seq_par_ag_redo": False,
        "data_par_overlap": False,
        "weight_offload": False,
        "activations_offload": False,
        "optimizer_offload": False,
        "training": True,
    }


if __name__ == "__main__":
    main()
