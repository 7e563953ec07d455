"""The model and the cluster that a plan names, with what the plan overrides in them."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from models import catalogue as networks
from models.flash_attention import FlashAttention
from models.model import Model
from models.operators import BatchedProduct, Embedding, Linear, Operator, Split
from simulator.plans.records import ClusterSection, ModelSection, NetworkSection
from topologies import catalogue
from topologies.hardware import Cluster, Link

# What a cluster has where the plan needs no link.
NO_LINK = Link(
    name="none",
    bandwidth=float("inf"),
    latency=0.0,
    efficiency=1.0,
    source="a plan that never uses it",
)


@lru_cache(maxsize=256)
def build_model(section: ModelSection) -> Model:
    """Return the network of a plan; equal sections share one object.

    Raises:
        ValueError: an unknown name, or dimensions that no such network has.
    """
    own = section.model_dump(exclude={"name", "family"}, exclude_none=True)
    name = section.name or section.family
    assert name is not None
    return networks.build(name, own)


@lru_cache(maxsize=256)
def build_cluster(section: ClusterSection) -> Cluster:
    """Return the hardware of a plan; a link that it does not need is `NO_LINK`.

    Raises:
        UnknownName: a device or link that the catalogue does not have.
    """
    network = section.network
    return Cluster(
        device=catalogue.device(section.device),
        num_nodes=section.nodes,
        devices_per_node=section.devices_per_node,
        fabric=catalogue.link(section.fabric) if section.fabric else NO_LINK,
        network=_network_link(network) if network else NO_LINK,
        adapters_per_node=network.adapters_per_node if network else 1,
    )


def _network_link(network: NetworkSection) -> Link:
    link = catalogue.link(network.link)
    if network.bandwidth is not None:
        link = dataclasses.replace(link, bandwidth=network.bandwidth)
    if network.latency is not None:
        moved = network.latency - link.latency
        link = dataclasses.replace(link, latency=network.latency, moved=moved)
    return link


def has_attention(model: Model) -> bool:
    """Return whether selective recomputation has anything to drop."""
    return any(operator.is_core_attention for operator in _operators(model))


def divided(model: Model) -> dict[str, int]:
    """Return what tensor parallelism divides in `model`: plan key or name, count.

    The heads are those of the first block; all blocks are equal.
    """
    counts: dict[str, int] = {}
    head = 0
    for operator in _operators(model):
        match operator:
            case BatchedProduct(is_core_attention=True, name="scores"):
                counts["heads"], head = operator.batch, operator.inner
            case FlashAttention():
                counts["heads"], head = operator.heads, operator.width
            case Embedding(split=Split.VOCABULARY):
                counts["vocabulary"] = operator.entries
            case Linear(split=Split.ROW, name="fc2" | "down") if head:
                counts["feed_forward"] = operator.inner
            case Linear(split=Split.COLUMN):
                counts[operator.name] = operator.columns
    if head:
        # The qkv matrix has columns for `heads` queries, and kv_heads keys and values.
        qkv = counts.pop("qkv")
        counts["kv_heads"] = (qkv - counts["heads"] * head) // (2 * head)
        for name in ("fc1", "gate up", "logits"):
            counts.pop(name, None)
    return counts


def _operators(model: Model) -> list[Operator]:
    """Return the operators of the distinct layers of `model`."""
    layers = {id(layer): layer for layer in model.layers}.values()
    return [operator for layer in layers for operator in layer.operators]
