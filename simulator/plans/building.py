"""The model and the cluster that a plan names, with what the plan overrides in them."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

from models import catalogue as networks
from models.flash_attention import FlashAttention
from models.huggingface import build_from_config
from models.mixture import ExpertLinear
from models.model import Layer, Model
from models.operators import BatchedProduct, Embedding, Linear, Operator, Split
from simulator.plans.records import ClusterSection, ModelSection, NetworkSection
from topologies import catalogue
from topologies.hardware import Cluster, Link
from topologies.units import parse_quantity

_DIMENSIONS = tuple(
    name for name in ModelSection.model_fields if name not in {"name", "family", "file"}
)
_LARGEST_TEXT = "1 MB"
_LARGEST = int(parse_quantity(_LARGEST_TEXT, "B"))

# What a cluster has where the plan needs no link.
NO_LINK = Link(
    name="none",
    bandwidth=float("inf"),
    latency=0.0,
    efficiency=1.0,
    source="a plan that never uses it",
)


def build_model(section: ModelSection) -> Model:
    """Return the network of a plan; equal sections share one object.

    Raises:
        ValueError: an unknown name, a file that describes no network, or dimensions
            that no such network has.
    """
    if section.file is None:
        return _built(section, "")
    # What a file says may change between two calls.
    return _built(section, _content(section.file))


@lru_cache(maxsize=256)
def _built(section: ModelSection, config: str) -> Model:
    """Return the network of a section and of the text of the file that it names."""
    own = {name: getattr(section, name) for name in _DIMENSIONS}
    given = {name: value for name, value in own.items() if value is not None}
    if section.file is not None:
        return build_from_config(config, given, Path(section.file).name)
    name = section.name or section.family
    assert name is not None
    return networks.build(name, given)


def _content(file: str) -> str:
    """Return the text of a network's file."""
    name = Path(file).name
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"file: {name} cannot be read: {reason}") from None
    if len(content) > _LARGEST:
        raise ValueError(f"file: {name} is larger than {_LARGEST_TEXT}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"file: {name} is not UTF-8 text") from None


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
    return any(map(layer_has_attention, set(model.layers)))


def layer_has_attention(layer: Layer) -> bool:
    """Return whether selective recomputation has anything to drop in a layer."""
    return any(operator.is_core_attention for operator in layer.operators)


def divided(model: Model) -> dict[str, int]:
    """Return what tensor parallelism divides in `model`: plan key or name, count.

    The heads are those of the first block; all blocks have equally many.
    """
    operators = _operators(model)
    is_transformer = any(map(_head_width, operators))
    counts: dict[str, int] = {}
    for operator in operators:
        counts |= _division(operator, is_transformer=is_transformer)
    if "qkv" in counts and is_transformer:
        # Its columns are of `heads` queries, and of kv_heads keys and values.
        head = next(filter(None, map(_head_width, operators)))
        counts["kv_heads"] = (counts["qkv"] - counts["heads"] * head) // (2 * head)
    following = _FOLLOWING if is_transformer else ()
    return {name: count for name, count in counts.items() if name not in following}


# Column-split matrices of a transformer; heads, vocabulary and widths divide them.
_FOLLOWING = ("qkv", "q", "q up", "kv up", "fc1", "gate up", "shared gate up", "logits")
_WIDTHS = {"fc2": "feed_forward", "down": "feed_forward", "shared down": "shared width"}


def _head_width(operator: Operator) -> int:
    """Return the features of a head where `operator` is core attention, else 0."""
    match operator:
        case BatchedProduct(is_core_attention=True, name="scores"):
            return operator.inner
        case FlashAttention():
            return operator.width
    return 0


def _division(operator: Operator, *, is_transformer: bool) -> dict[str, int]:
    """Return what tensor parallelism divides in one operator, and its count."""
    match operator:
        case BatchedProduct(is_core_attention=True, name="scores"):
            return {"heads": operator.batch}
        case FlashAttention():
            return {"heads": operator.heads}
        case Embedding(split=Split.VOCABULARY):
            return {"vocabulary": operator.entries}
        case ExpertLinear(split=Split.ROW):
            return {"expert_feed_forward": operator.inner}
        case Linear(split=Split.ROW) if is_transformer and operator.name in _WIDTHS:
            return {_WIDTHS[operator.name]: operator.inner}
        case Linear(split=Split.COLUMN):
            return {operator.name: operator.columns}
    return {}


def _operators(model: Model) -> list[Operator]:
    """Return the operators of the distinct layers of `model`."""
    layers = {id(layer): layer for layer in model.layers}.values()
    return [operator for layer in layers for operator in layer.operators]
