"""Whether the choices for layers by name can be done."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from math import gcd

from models.model import Layer, Model
from simulator.errors import Fault
from simulator.plans.block_faults import number_faults, unmatched_faults
from simulator.plans.building import layer_has_attention
from simulator.plans.chosen_blocks import with_chosen_blocks
from simulator.plans.hints import choices
from simulator.plans.layer_choices import (
    layers_by_neurons,
    named_by,
    neuron_rule,
    product_of,
    recompute_of,
)
from simulator.plans.layer_state_faults import layer_state_faults
from simulator.plans.layer_token_faults import layer_token_faults
from simulator.plans.records import BatchSection, LayerSection, ParallelismSection
from simulator.plans.splits import WITHOUT_SCORES
from simulator.plans.whole_layers import whole_layer_faults

_KEY = "parallelism.layers"


def layer_faults(
    parallelism: ParallelismSection,
    model: Model,
    batch: BatchSection | None,
    data: int | None,
) -> Iterator[Fault]:
    """Yield what is wrong with choices for layers of a model by name.

    Args:
        parallelism: with the choices.
        model: whose layers they name.
        batch: of the plan, if that is valid.
        data: d, replicas, if they come out even [1].
    """
    names = list(dict.fromkeys(layer.name for layer in model.layers))
    for index, rule in enumerate(parallelism.layers):
        yield from _rule_faults(rule, f"{_KEY}[{index}]", names, model.name)
    uncounted = list(number_faults(parallelism, model))
    yield from uncounted
    if uncounted:
        return
    model = with_chosen_blocks(model, parallelism)
    yield from unmatched_faults(parallelism, model)
    yield from _recompute_faults(parallelism, model)
    yield from whole_layer_faults(parallelism, model)
    yield from layer_token_faults(parallelism, model)
    yield from layer_state_faults(parallelism, model)
    by_neurons = layers_by_neurons(parallelism, model)
    if not by_neurons:
        return
    wrong = list(_place_faults(parallelism, model, by_neurons))
    yield from wrong
    if not wrong:
        yield from _division_faults(parallelism, by_neurons, batch, data)


def _rule_faults(
    rule: LayerSection, key: str, names: list[str], model: str
) -> Iterator[Fault]:
    """Yield what is wrong with one table by itself."""
    if not any(fnmatchcase(name, rule.match) for name in names):
        problem = f"'{rule.match}' matches no layer of {model}"
        plain = rule.match.replace("*", "").replace("?", "")
        yield Fault(f"{key}.match", problem, choices(plain, names))
    is_by_neurons = rule.split == "neurons"
    for name in ("scheme", "updates"):
        if getattr(rule, name) is not None and not is_by_neurons:
            problem = "is of layers that are split by neurons"
            remedy = f'add split = "neurons", or leave {name} out'
            yield Fault(f"{key}.{name}", problem, remedy)
    if is_by_neurons and rule.recompute is not None:
        problem = "layers split by neurons keep what a portion needs"
        yield Fault(f"{key}.recompute", problem, "leave recompute out")
    if rule.scheme == "all-at-once" and rule.updates == "each-portion":
        problem = "all samples at once are one portion"
        remedy = 'write updates = "once", or scheme = "in-turn" or "in-slices"'
        yield Fault(f"{key}.updates", problem, remedy)


def _recompute_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    """Yield selective recomputation by name of layers without attention scores.

    Nor do layers recompute early, or not at all for one micro-batch, by themselves.
    """
    is_special = parallelism.recompute_early or not parallelism.recompute_all
    for index, rule in enumerate(parallelism.layers):
        named = named_by(rule, index, model)
        chosen = {recompute_of(parallelism, layer) for layer in named}
        has_any = any(map(layer_has_attention, named))
        if rule.recompute == "selective" and "selective" in chosen and not has_any:
            problem = "selective recomputation drops attention scores, and these"
            key = f"{_KEY}[{index}].recompute"
            remedy = f"allowed: {WITHOUT_SCORES}"
            yield Fault(key, f"{problem} layers store none", remedy)
        if rule.recompute is not None and is_special:
            name = "early" if parallelism.recompute_early else "all"
            problem = f"recompute_{name} is of stages that recompute every block alike"
            involves = (f"parallelism.recompute_{name}",)
            key = f"{_KEY}[{index}].recompute"
            yield Fault(key, problem, "leave one of the two out", involves=involves)


def _place_faults(
    parallelism: ParallelismSection, model: Model, by_neurons: tuple[Layer, ...]
) -> Iterator[Fault]:
    """Yield where layers split by neurons cannot be."""
    key = f"{_KEY}[{_index(parallelism, by_neurons[0])}]"
    alone = {"tensor": 1, "pipeline": 1, "context": 1, "zero": 0}
    for name, only in alone.items():
        degree = getattr(parallelism, name)
        if degree > only:
            problem = f"the replicas divide neurons, but {name} = {degree}"
            involves = (f"parallelism.{name}",)
            yield Fault(
                f"{key}.split", problem, f"write {name} = {only}", involves=involves
            )
    for layer in by_neurons:
        if product_of(layer) is None:
            dense = [x.name for x in model.layers if product_of(x)]
            problem = f"{layer.name} is no dense layer, and cannot be split by neurons"
            remedy = f"dense are {', '.join(dict.fromkeys(dense)) or 'none'}"
            yield Fault(f"{key}.match", problem, remedy)
            return
    number = len(by_neurons)
    if number == len(model.layers):
        problem = f"all layers of {model.name} would be split by neurons"
        yield Fault(f"{key}.match", problem, "leave the first layers out")
    elif model.layers[-number:] != by_neurons:
        other = next(x for x in reversed(model.layers) if x not in by_neurons)
        problem = f"layer {other.name} comes after {by_neurons[0].name}"
        remedy = "only the last layers can be split by neurons"
        yield Fault(f"{key}.match", problem, remedy)


def _division_faults(
    parallelism: ParallelismSection,
    by_neurons: tuple[Layer, ...],
    batch: BatchSection | None,
    data: int | None,
) -> Iterator[Fault]:
    """Yield what the replicas do not divide, and choices that do not agree."""
    key = f"{_KEY}[{_index(parallelism, by_neurons[0])}]"
    rules = [neuron_rule(parallelism, layer) for layer in by_neurons]
    for name in ("scheme", "updates"):
        if len({getattr(rule, name) for rule in rules}) > 1:
            problem = "differs between layers that are split by neurons"
            yield Fault(f"{key}.{name}", problem, "they take their portions together")
    if not data:
        return
    products = [product for layer in by_neurons if (product := product_of(layer))]
    common = gcd(*(product.columns for product in products))
    if common % data:
        uneven = next(product for product in products if product.columns % data)
        neurons = f"{uneven.columns} neurons of {uneven.name}"
        problem = f"{data} replicas do not divide the {neurons}"
        remedy = f"data has to divide {common}"
        involves = ("parallelism.data", "cluster.nodes")
        yield Fault(f"{key}.split", problem, remedy, involves=involves)
    rule = rules[0]
    if batch and rule and rule.scheme == "in-slices" and batch.micro % data:
        problem = f"{data} replicas do not divide a micro-batch of {batch.micro}"
        remedy = f"micro = {-(-batch.micro // data) * data} would fit"
        yield Fault(f"{key}.scheme", problem, remedy, involves=("batch.micro",))


def _index(parallelism: ParallelismSection, layer: Layer) -> int:
    """Return which table splits a layer by neurons."""
    rule = neuron_rule(parallelism, layer)
    return next(i for i, one in enumerate(parallelism.layers) if one is rule)
