"""One device's share of a layer, where a plan divides some layers less than others.

A layer that is to have whole samples gathers the tokens of the context ranks before it
and hands its own on: forward, an all-gather of its input; backward, a reduce-scatter
of that input's gradient, as each rank's loss knows its own tokens only. The slice
between costs nothing either way, and weights get partial sums, as everywhere. Every
rank computes all tokens.

Limits: each such layer gathers for itself, also behind another one; FLOP that ranks
repeat are not in HFU, as those of layers that tensor ranks have whole are not.

Source: the mirror images of Megatron's g, Korthikanti et al., arXiv:2205.05198,
section 4.2.2, along the tokens; derived above.
"""

from __future__ import annotations

from dataclasses import replace

from models.model import Layer
from models.work import Share
from simulator.plans.layer_choices import context_of, expert_of
from simulator.plans.records import ParallelismSection
from simulator.workload import Item, Message, Pattern
from topologies.units import Bytes


def layer_share(mesh: ParallelismSection, layer: Layer, share: Share) -> Share:
    """Return one device's share of a layer.

    Args:
        mesh: with what the plan says of layers by name and number.
        layer: of the model.
        share: of layers of which it says nothing.
    """
    if not mesh.layers:
        return share
    if expert_of(mesh, layer) < mesh.expert_ranks:
        share = replace(share, expert=1, load=1.0)
    if context_of(mesh, layer) < mesh.context:
        ranks = share.context
        whole = ranks * share.samples
        share = replace(share, samples=whole, context=1, gathered=ranks)
    return share


def tokens_gathered(layer: Layer, share: Share) -> tuple[Item, ...]:
    """Return what brings a layer the tokens of whole samples; none if it has its own.

    An all-gather of element · samples · output elements, the size of its input.
    """
    return _moved("all-gather", layer, share)


def tokens_returned(layer: Layer, share: Share) -> tuple[Item, ...]:
    """Return what sums the gradients of such tokens where they came from."""
    return _moved("reduce-scatter", layer, share)


def input_bytes(layer: Layer, share: Share) -> Bytes:
    """Return a block's input, all of it that the layer meets on a device [B].

    A block's input has the size of its output.
    """
    return share.element * share.samples * layer.output_elements / share.sequence


def _moved(pattern: Pattern, layer: Layer, share: Share) -> tuple[Item, ...]:
    if share.gathered == 1:
        return ()
    size = input_bytes(layer, share)
    return (Message(f"tokens {pattern}", pattern, "context", size),)
