"""Whether tokens and experts come out even over the devices that divide them."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, lcm

from models.flash_attention import FlashAttention
from models.mixture import ExpertLinear
from models.model import Model
from simulator.errors import Fault
from simulator.plans.building import has_attention
from simulator.plans.records import ParallelismSection
from simulator.plans.splits import nearest_divisor, quotient

_MODEL = ("model.name", "model.family", "model.file")


def context_faults(
    parallelism: ParallelismSection, model: Model, devices: int | None
) -> Iterator[Fault]:
    """Yield why the tokens of a sample cannot be divided over the context ranks."""
    context, key = parallelism.context, "parallelism.context"
    if context == 1:
        return
    if not _has_flash(model):
        if has_attention(model):
            problem = f"{context} devices cannot divide the stored scores of attention"
            remedy = 'write attention = "flash" in [model]'
        else:
            problem = f"{model.name} has no attention that {context} devices can divide"
            remedy = "leave context out, or write context = 1"
        yield Fault(key, problem, remedy, involves=("model.attention", *_MODEL))
        return
    tokens = model.tokens_per_sample
    each = 2 if parallelism.context_balanced and model.attention == "causal" else 1
    what = f"{each} x {context} pieces" if each > 1 else f"{context} pieces"
    if parallelism.sequence:
        what += f" for {parallelism.tensor} tensor ranks"
        each = lcm(each, parallelism.tensor)
    if tokens % (each * context):
        pieces = gcd(tokens // gcd(tokens, each), _replicas(parallelism, devices))
        near = nearest_divisor(pieces, context)
        remedy = f"context = {near} would fit"
        if tokens % each:
            remedy = f"the sequence length has to be a multiple of {each * context}"
        problem = f"{tokens} tokens of a sample are not {what}"
        involves = ("model.sequence_length", *_MODEL)
        yield Fault(key, problem, remedy, involves=involves)


def expert_faults(
    parallelism: ParallelismSection, model: Model, devices: int | None
) -> Iterator[Fault]:
    """Yield why experts cannot be divided over devices, or not be so uneven."""
    expert, load = parallelism.expert, parallelism.expert_imbalance
    if load > expert:
        problem = f"one of {expert} devices has at most {expert} times the mean rows"
        remedy = f"at most {expert}, or a larger expert"
        involves = ("parallelism.expert",)
        key = "parallelism.expert_imbalance"
        yield Fault(key, f"{problem}, got {load:g}", remedy, involves=involves)
    yield from _neighbour_faults(parallelism)
    yield from _whole_expert_faults(parallelism)
    if expert == 1:
        return
    key, count = "parallelism.expert", _num_experts(model)
    if not count:
        problem = f"{model.name} has no experts that {expert} devices can divide"
        remedy = "leave expert out, or write expert = 1"
        yield Fault(key, problem, remedy, involves=("model.experts", *_MODEL))
    elif count % expert:
        problem = f"{expert} devices do not divide {count} experts of {model.name}"
        common = gcd(count, _replicas(parallelism, devices))
        remedy = f"expert = {nearest_divisor(common, expert)} would fit"
        yield Fault(key, problem, remedy, involves=("model.experts", *_MODEL))


def _whole_expert_faults(parallelism: ParallelismSection) -> Iterator[Fault]:
    """Yield why tensor ranks cannot be among the devices that divide the experts."""
    key, own = "parallelism.expert_tensor", parallelism.expert_tensor
    tensor = parallelism.tensor
    if own not in {None, 1, tensor}:
        problem = f"{own} of {tensor} tensor ranks cannot divide each expert"
        remedy = f"write 1, or {tensor}, which is the default"
        yield Fault(key, problem, remedy, involves=("parallelism.tensor",))
    if not parallelism.has_whole_experts:
        return
    if not parallelism.sequence:
        problem = "each tensor rank has all tokens, and would send them as often"
        remedy = "write sequence = true, or leave expert_tensor out"
        yield Fault(key, problem, remedy, involves=("parallelism.sequence",))
    if parallelism.expert % tensor:
        problem = (
            f"{tensor} tensor ranks are not all among {parallelism.expert} devices"
        )
        remedy = f"write an expert that is a multiple of {tensor}"
        yield Fault(key, problem, remedy, involves=("parallelism.expert",))
    for index, rule in enumerate(parallelism.layers):
        if rule.expert:
            problem = "experts that tensor ranks divide cannot be on every device too"
            yield Fault(
                f"parallelism.layers[{index}].expert",
                problem,
                "leave one of the two out",
            )


def _neighbour_faults(parallelism: ParallelismSection) -> Iterator[Fault]:
    """Yield why tokens cannot go to experts by way of neighbours."""
    expert, neighbours = parallelism.expert, parallelism.expert_neighbours
    if expert % neighbours:
        yield Fault(
            "parallelism.expert_neighbours",
            f"groups of {neighbours} do not divide {expert} expert devices",
            f"expert_neighbours = {nearest_divisor(expert, neighbours)} would fit",
            involves=("parallelism.expert",),
        )
    if parallelism.expert_nodes is not None and neighbours == 1:
        yield Fault(
            "parallelism.expert_nodes",
            "tokens go to each expert by itself, so that no groups limit them",
            "write expert_neighbours, such as the devices of a node, or leave it out",
            involves=("parallelism.expert_neighbours",),
        )


def _replicas(parallelism: ParallelismSection, devices: int | None) -> int:
    """Return d · c, or 0 if that is not known or not whole."""
    return quotient(devices, parallelism.tensor * parallelism.pipeline)


def _has_flash(model: Model) -> bool:
    return any(
        isinstance(operator, FlashAttention)
        for layer in set(model.layers)
        for operator in layer.operators
    )


def _num_experts(model: Model) -> int:
    """Return the experts of a block; 0 if it has none."""
    counts = (
        operator.experts
        for layer in set(model.layers)
        for operator in layer.operators
        if isinstance(operator, ExpertLinear)
    )
    return next(counts, 0)
