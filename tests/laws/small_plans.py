"""Random plans small enough to simulate rank by rank, and machines to run them on."""

from dataclasses import fields, is_dataclass, replace
from typing import get_args, get_type_hints

from hypothesis import strategies as st

from simulator.api import run
from simulator.job import make_pricer, plan_profile, prepare
from simulator.plan import Plan

REMATERIALIZE = ("none", "selective", "full")


def table(
    *,
    tensor=1,
    pipeline=1,
    data=1,
    schedule="1f1b",
    chunks=1,
    microbatches=2,
    micro=1,
    layers=None,
    hidden=64,
    heads=8,
    length=32,
    vocabulary=128,
    sequence=False,
    recompute="none",
    overlap=False,
    overlap_tensor=False,
    bucket="40 kB",
    per_node=None,
    precision="fp16",
    adapters=1,
    device="a100-sxm4-80gb",
):
    """The tables of a small GPT's plan; quantities as in a file."""
    world = tensor * pipeline * data
    per_node = per_node or world
    return {
        "model": {
            "family": "gpt",
            "layers": layers or pipeline * chunks,
            "hidden": hidden,
            "heads": heads,
            "sequence_length": length,
            "vocabulary": vocabulary,
        },
        "batch": {"global": micro * data * microbatches, "micro": micro},
        "parallelism": {
            "tensor": tensor,
            "pipeline": pipeline,
            "data": data,
            "schedule": schedule,
            "virtual_stages": chunks,
            "sequence": sequence,
            "recompute": recompute,
            "overlap_tensor": overlap_tensor,
        },
        "training": {"precision": precision},
        "synchronization": {"overlap": overlap, "bucket": bucket},
        "cluster": {
            "device": device,
            "nodes": world // per_node,
            "devices_per_node": per_node,
            "fabric": "nvlink-3",
            "network": {"link": "infiniband-hdr", "adapters_per_node": adapters},
        },
    }


def plan(**choices):
    return Plan.from_mapping(table(**choices))


@st.composite
def plans(draw, max_degree=4, max_microbatches=6):
    """Plans of all shapes: every axis, schedule, recomputation, overlap."""
    tensor = draw(st.sampled_from([1, 2, 4][: max_degree.bit_length()]))
    pipeline = draw(st.integers(1, max_degree))
    data = draw(st.integers(1, 3))
    several = ["interleaved", "zb-h1", "zb-h2", "zb-auto"]
    schedules = ["gpipe", "1f1b"] + (several if pipeline > 1 else [])
    schedule = draw(st.sampled_from(schedules))
    is_interleaved = schedule == "interleaved"
    chunks = draw(st.integers(2, 3)) if is_interleaved else 1
    microbatches = draw(st.integers(1, max_microbatches))
    if is_interleaved:
        microbatches = pipeline * draw(st.integers(1, 2))
    world = tensor * pipeline * data
    divisors = [n for n in range(1, world + 1) if world % n == 0]
    return plan(
        tensor=tensor,
        pipeline=pipeline,
        data=data,
        schedule=schedule,
        chunks=chunks,
        microbatches=microbatches,
        micro=draw(st.integers(1, 3)),
        layers=pipeline * chunks * draw(st.integers(1, 3)),
        hidden=draw(st.sampled_from([64, 256, 2048])),
        heads=draw(st.sampled_from([4, 8])),
        length=draw(st.sampled_from([16, 512])),
        vocabulary=draw(st.sampled_from([64, 4096])),
        sequence=tensor > 1 and draw(st.booleans()),
        recompute=draw(st.sampled_from(REMATERIALIZE)),
        overlap=draw(st.booleans()),
        overlap_tensor=tensor > 1 and draw(st.booleans()),
        bucket=draw(st.sampled_from(["40 kB", "2 MB", "1 GB"])),
        per_node=draw(st.sampled_from(divisors)),
        precision=draw(st.sampled_from(["fp16", "fp32"])),
        adapters=draw(st.sampled_from([1, 4])),
        device=draw(st.sampled_from(["a100-sxm4-80gb", "v100-sxm2-16gb"])),
    )


def networked(
    topology,
    *,
    nodes=None,
    background=(),
    algorithm="ring",
    order="auto",
    link="ethernet-10",
    device="v100-sxm2-16gb",
    network=None,
    **choices,
):
    """A plan with one device in a node, on Ethernet of 10 Gbit/s.

    Args:
        topology: between its nodes, or "switch".
        nodes: of its cluster, if the mesh does not say.
        background: tables of cross traffic.
        algorithm: of the all-reduce between replicas.
        order: of the nodes around a ring.
        link: of one adapter.
        device: in every node.
        network: further keys of the network, such as parameters of the family.
        choices: as for `table`.
    """
    tables = table(**({"per_node": 1} | choices), device=device)
    tables["cluster"]["network"] = {"topology": topology, "link": link}
    tables["cluster"]["network"] |= network or {}
    tables["synchronization"] |= {"algorithm": algorithm}
    if topology != "switch":
        tables["synchronization"] |= {"ring_order": order}
    if nodes:
        tables["cluster"]["nodes"] = nodes
    if background:
        tables["cluster"]["background"] = list(background)
    return Plan.from_mapping(tables)


@st.composite
def meshes(draw, max_degree=3):
    """Choices for `networked`: a mesh of at least two ranks, and how it is used."""
    tensor, pipeline = draw(st.sampled_from([1, 2])), draw(st.integers(1, max_degree))
    alone = tensor * pipeline == 1
    data = draw(st.integers(1 + alone, max_degree))
    return {
        "tensor": tensor,
        "pipeline": pipeline,
        "data": data,
        "schedule": draw(st.sampled_from(["gpipe", "1f1b"])),
        "microbatches": draw(st.integers(1, 3)),
        "layers": pipeline * draw(st.integers(1, 2)),
        "hidden": draw(st.sampled_from([64, 512])),
        "sequence": tensor > 1 and draw(st.booleans()),
        "overlap": draw(st.booleans()),
        "overlap_tensor": tensor > 1 and draw(st.booleans()),
        "bucket": draw(st.sampled_from(["40 kB", "1 GB"])),
        "recompute": draw(st.sampled_from(REMATERIALIZE)),
    }


def slowed_profile(small, slowdown=0.0, **constants):
    """The plan's profile, but for what messages do to the kernels beside them."""
    profile = plan_profile(small, small.build_cluster())
    return replace(profile, overlap_slowdown=slowdown, **constants)


def step_time(job, engine="analytical"):
    return run(job, engine).step_time


def on_machine(plan, change):
    """The plan's job, its device, links and fits changed by `change(record)`."""
    job = prepare(plan)
    cluster, profile = change(job.cluster), change(job.profile)
    links = (cluster.fabric, cluster.network)
    assert all(link is not None for link in links)
    pricer = replace(
        make_pricer(plan, cluster, profile),
        peak=cluster.device.peak[plan.training.precision],
    )
    prices = {body: pricer.body(body) for body in job.prices}
    return replace(job, cluster=cluster, profile=profile, pricer=pricer, prices=prices)


def unit_of(hint):
    """The unit in an annotation such as `Annotated[float, "s"]`, or None."""
    extra = getattr(hint, "__metadata__", ())
    return extra[0] if extra else None


def power(unit, bases):
    """What a value in `unit` is multiplied by when its base units are."""
    over, _, under = unit.partition("/")
    factor = 1.0 if over == "1" else bases[over]
    return factor / bases[under] if under else factor


def rescaled(value, hint, bases):
    """`value` with every quantity in it, by its annotation, in other base units.

    Args:
        value: a number, a record, or a mapping of them.
        hint: its annotation.
        bases: factor of each base unit, such as {"s": 0.5, "B": 1, "FLOP": 1}.
    """
    unit = unit_of(hint)
    if unit is not None:
        return value * power(unit, bases)
    if is_dataclass(value):
        hints = get_type_hints(type(value), include_extras=True)
        changes = {
            field.name: rescaled(getattr(value, field.name), hints[field.name], bases)
            for field in fields(value)
        }
        return replace(value, **changes)
    if hasattr(value, "items"):
        _, inner = get_args(hint)
        return {key: rescaled(entry, inner, bases) for key, entry in value.items()}
    return value
