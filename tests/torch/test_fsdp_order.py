"""FSDP2 sends what the simulator says, in its order: counted in torch itself."""

from itertools import pairwise

import pytest

from simulator.job import prepare
from simulator.plan import Plan

pytest.importorskip("torch.distributed.fsdp")

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

WIDTHS = (16, 16, 16, 16, 32)
MICROBATCHES, SAMPLES = 2, 4
CALLS = {
    "all_gather_single": "all-gather",
    "reduce_scatter_single": "reduce-scatter",
    "all_reduce": "all-reduce",
}


def predicted(ranks, keys):
    """What the simulator sends for parameters and gradients: pattern and bytes."""
    plan = Plan.from_mapping(
        {
            "model": {"family": "mlp", "widths": list(WIDTHS)},
            "batch": {"global": ranks * MICROBATCHES * SAMPLES, "micro": SAMPLES},
            "parallelism": {"zero": 3, **keys},
            "training": {"precision": "bf16", "gradient_precision": "fp32"},
            "cluster": {
                "device": "a100-sxm4-80gb",
                "nodes": 1,
                "devices_per_node": ranks,
                "fabric": "nvlink-3",
            },
        }
    )
    return [
        (item.pattern, item.size)
        for op in prepare(plan).workload.ops
        if op.stream in {"gather", "reduce", "data"}
        for item in op.body.items
    ]


def shard_and_train(rank, ranks, keys, path):
    """Train a perceptron for a step, and write what the first rank sends."""
    dist.init_process_group(
        "gloo", init_method=f"file://{path}/store", rank=rank, world_size=ranks
    )
    shard = keys["shard"]
    lengths = (ranks // shard, shard) if shard < ranks else (ranks,)
    mesh = init_device_mesh(
        "cpu", lengths, mesh_dim_names=("copies", "shard")[-len(lengths) :]
    )
    sizes = pairwise(WIDTHS)
    layers = [nn.Sequential(nn.Linear(*size), nn.ReLU()) for size in sizes]
    model = nn.Sequential(*layers)
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32)
    own = {rule["match"]: rule for rule in keys["layers"]}
    whole = set()
    for number, layer in enumerate(model, 1):
        rule = own.get(f"fc{number}", {})
        if rule.get("zero") == 0:
            whole |= set(layer.bfloat16().parameters())
            continue
        # As torchtitan: the last unit stays, for it is needed at once.
        stays = layer is model[-1] or not rule.get("reshard", keys["reshard"])
        fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=not stays)
    fully_shard(model, mesh=mesh, mp_policy=policy, ignored_params=whole)
    calls = []
    for name in CALLS:
        setattr(dist, name, counted(name, getattr(dist, name), calls))
    for _ in range(MICROBATCHES):
        model(torch.randn(SAMPLES, WIDTHS[0])).float().sum().backward()
    if rank == 0:
        lines = (f"{CALLS[name]} {size}" for name, size in calls)
        (path / "calls").write_text("\n".join(lines), "utf-8")
    dist.destroy_process_group()


def counted(name, call, calls):
    """A collective that notes its message: the larger of its tensors [B]."""

    def noting(*args, **options):
        tensors = [each for each in (*args, *options.values()) if torch.is_tensor(each)]
        calls.append((name, max(each.nbytes for each in tensors)))
        return call(*args, **options)

    return noting


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "shard", "reshard", "rules"),
    [
        (2, 2, True, []),
        (2, 2, False, []),
        (4, 2, True, []),
        (2, 2, True, [{"match": "fc2", "reshard": False}]),
        (2, 2, False, [{"match": "fc1", "reshard": True}]),
        (2, 2, True, [{"match": "fc2", "zero": 0}, {"match": "fc3", "zero": 0}]),
    ],
)
def test_fsdp_sends_what_was_predicted_in_that_order(
    tmp_path, ranks, shard, reshard, rules
):
    """Sums of what is not divided are left out: a plan says when, torch does not."""
    keys = {"shard": shard, "reshard": reshard, "layers": rules}
    mp.spawn(shard_and_train, (ranks, keys, tmp_path), nprocs=ranks)
    lines = (tmp_path / "calls").read_text("utf-8").splitlines()
    sent = [(name, float(size)) for name, size in map(str.split, lines)]
    wanted = predicted(ranks, keys)
    is_hybrid = shard < ranks
    assert sent == [each for each in wanted if is_hybrid or each[0] != "all-reduce"]
