"""Dense layers whose neurons the replicas divide: Krizhevsky's hybrid, three schemes.

The layers before are replicated, each replica with b samples of its own. Each of the d
replicas holds 1 / d of the neurons of the dense layers, for the samples of all. These
arrive, and the gradients of their activations leave, in portions:

============  =================  ==============  ==============  ===================
scheme        portions           samples         arrive by       leave by
============  =================  ==============  ==============  ===================
all-at-once   1                  d b, of all     all-gather      reduce-scatter
in-turn       d, a replica each  b, of one       broadcast       reduce
in-slices     d                  b / d of each   all-gather      reduce-scatter
============  =================  ==============  ==============  ===================

A portion goes forward and backward through the dense layers before the next one does,
while that arrives. Between two dense layers the replicas gather the activations of
all neurons, and add up and scatter their gradients; the logits they gather. What a
layer does beside its product, each does for its own part, but for the loss.

The host starts every portion, to read its loss. Weights change once a step, or after
every portion.

Limits: the passes of the layers before wait for the last portion on every replica,
as on the last one. On a network whose links are shared, all portions begin at the
first replica.

Source: Krizhevsky, arXiv:1404.5997, section 4 (from memory); that cuda-convnet2 takes d
    small passes through the dense layers, and its `updatePeriod`, are in its wiki,
    MultiGPU.md (as quoted in notes on it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from models.model import Layer, Model
from models.operators import Linear, Operator
from models.work import Share, memory_work
from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.formats import element_bytes
from simulator.lowering.passes import accumulation
from simulator.lowering.schedules.actions import Action
from simulator.lowering.states import plan_traffic
from simulator.plan import Plan
from simulator.plans.layer_choices import layers_by_neurons, portion_rule, product_of
from simulator.workload import Body, HostTask, Item, Message, Pattern, Repeat
from topologies.units import Bytes, Count

_ARRIVE: dict[str, Pattern] = {
    "all-at-once": "all-gather",
    "in-turn": "broadcast",
    "in-slices": "all-gather",
}
_LEAVE: dict[str, Pattern] = {
    "all-at-once": "reduce-scatter",
    "in-turn": "reduce",
    "in-slices": "reduce-scatter",
}


@dataclass(frozen=True, slots=True, eq=False)
class Portions:
    """What one replica does with all portions of a micro-batch, and holds for it.

    Fields:
        layers: whose neurons are divided, the last of the model.
        count: portions [1].
        arrival, leaving: messages of one portion.
        body: its passes, and the update of the weights if there is one.
        parameters: of these layers on one replica [1].
        is_updating: whether each portion changes the weights.
        kept: activations of a portion, and the arrivals of the next [B].
    """

    layers: tuple[Layer, ...]
    count: int
    arrival: Body
    leaving: Body
    body: Body
    parameters: Count
    is_updating: bool
    kept: Bytes


class _Part(NamedTuple):
    """An operator on one replica: its part of the neurons, and of the samples.

    Fields:
        operator: with the replica's neurons.
        share: with the samples that it takes part in.
        before: what the replicas gather before it, if they do [B].
        is_exchanged: whether they add up and scatter as much after its gradient.
    """

    operator: Operator
    share: Share
    before: Bytes = 0.0
    is_exchanged: bool = False


def make_portions(plan: Plan, model: Model) -> Portions | None:
    """Return the portions of a plan's micro-batch; None without such layers."""
    layers = layers_by_neurons(plan.parallelism, model)
    if not layers:
        return None
    rule = portion_rule(plan.parallelism, model)
    assert rule is not None, "some layers are split by neurons"
    scheme, data = rule.scheme or "in-turn", plan.parallelism.data
    is_whole = scheme == "all-at-once"
    element = element_bytes(plan.training.precision)
    share = Share(
        samples=plan.batch.micro * (data if is_whole else 1),
        element=element,
        gradient=element_bytes(plan.training.gradient_precision),
    )
    parts = _parts(layers, share, data)
    parameters = sum(part.operator.parameters for part in parts)
    arrived = element * share.samples * _product(layers[0]).inner
    is_updating = rule.updates == "each-portion"
    items = _passes(parts)
    if is_updating:
        items = (*items, memory_work("update", plan_traffic(plan) * parameters))
    count = 1 if is_whole else data
    return Portions(
        layers,
        count,
        _message("activations", _ARRIVE[scheme], arrived),
        _message("their gradients", _LEAVE[scheme], arrived),
        Body("portion of dense layers", "forward", items),
        parameters,
        is_updating,
        kept=_kept(parts) + (arrived if count > 1 else 0.0),
    )


def before_portions(model: Model, portions: Portions | None) -> Model:
    """Return the part of a model that replicas do not divide."""
    if portions is None:
        return model
    return replace(model, layers=model.layers[: -len(portions.layers)])


def emit_portions(
    emitter: Emitter, portions: Portions, after: Action, rank: int
) -> None:
    """Emit the portions that follow a forward pass; each arrives while one is used."""
    _emit_arrival(emitter, portions, after, rank, 0)
    for number in range(portions.count):
        if number + 1 < portions.count:
            _emit_arrival(emitter, portions, after, rank, number + 1)
        name = f"portion {number} of {after}"
        key, arrived = ("portion", after, number), ("arrival", after, number)
        body = portions.body
        draft = Draft(name, (rank,), "compute", body, (arrived,), host_waits=True)
        emitter.emit(key, draft)
        left = Draft(f"gradients of {name}", (rank,), "data", portions.leaving, (key,))
        emitter.emit(("leaving", after, number), left)


def left_portions(portions: Portions, before: Action) -> tuple[object, ...]:
    """Return what the backward pass of the layers before waits for."""
    forward = before._replace(kind="F")
    return tuple(("leaving", forward, number) for number in range(portions.count))


def _emit_arrival(
    emitter: Emitter, portions: Portions, after: Action, rank: int, number: int
) -> None:
    name = f"arrival of portion {number} of {after}"
    draft = Draft(name, (rank,), "data", portions.arrival, (after,))
    emitter.emit(("arrival", after, number), draft)


def _message(name: str, pattern: Pattern, size: Bytes) -> Body:
    sent = Message(f"{name} {pattern}", pattern, "data", size)
    return Body(f"{name} of a portion", "message", (sent,))


def _product(layer: Layer) -> Linear:
    product = product_of(layer)
    assert product is not None
    return product


def _parts(layers: tuple[Layer, ...], share: Share, data: int) -> list[_Part]:
    """Return the operators of the layers as one replica has them, in forward order.

    The first product has its whole input as it arrived; the others gather theirs, and
    so does what follows the last: a loss over all neurons.
    """
    own = replace(share, samples=share.samples / data)
    first, last = _product(layers[0]), _product(layers[-1])
    logits = share.element * share.samples * last.columns
    parts: list[_Part] = []
    for operator in (op for layer in layers for op in layer.operators):
        if isinstance(operator, Linear):
            divided = replace(operator, columns=operator.columns // data)
            is_first = operator is first
            size = 0.0 if is_first else share.element * share.samples * operator.inner
            parts.append(_Part(divided, share, size, not is_first))
        elif parts and parts[-1].operator.name == last.name:
            parts.append(_Part(operator, share, logits))
        else:
            parts.append(_Part(operator, own))
    return parts


def _passes(parts: list[_Part]) -> tuple[Item, ...]:
    """Return the forward and the backward pass of a portion."""
    forward: list[Item] = []
    backward: list[Item] = []
    for operator, share, before, _ in parts:
        if before:
            forward.append(_inside(operator, "all-gather", before))
        forward += operator.forward(share)
    for operator, share, before, is_exchanged in reversed(parts):
        backward += operator.backward_input(share)
        if is_exchanged:
            backward.append(_inside(operator, "reduce-scatter", before))
        backward += operator.backward_weight(share)
        if operator.parameters:
            backward.append(accumulation(operator, share))
    loss = HostTask("loss of a portion", "pass")
    return (loss, *forward, Repeat(tuple(backward), 1, "backward"))


def _inside(operator: Operator, pattern: Pattern, size: Bytes) -> Message:
    return Message(f"{operator.name} {pattern}", pattern, "data", size)


def _kept(parts: list[_Part]) -> Bytes:
    return sum(part.operator.saved_bytes(part.share) for part in parts)
