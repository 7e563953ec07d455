"""The dimensions of a transformer, and what must hold between them.

Every message of a ValueError begins with the key of the plan that does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from models.transformer_traits import TRAITS, Family, Traits

__all__ = ["Attention", "Experts", "Family", "Kernels", "Latent", "TransformerShape"]

Attention = Literal["materialized", "flash"]
Kernels = Literal["library", "eager", "compiled", "engine"]

_POSITIVE = (
    "layers",
    "hidden",
    "heads",
    "sequence_length",
    "vocabulary",
    "feed_forward",
    "kv_heads",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Feed-forward parts of which every token uses a few: a mixture of experts.

    Fields:
        experts: E, that a router chooses from in a block [1].
        top_k: k, that it chooses for a token [1].
        expert_feed_forward: inner width of one [1].
        shared_experts: further ones that every token uses; they are one wider part [1].
        dense_layers: first blocks that have a plain feed-forward part instead [1].
        capacity_factor: rows that an expert computes over those at balance: above 1
            it pads up to its capacity, below 1 it drops tokens [1].
    """

    experts: int
    top_k: int
    expert_feed_forward: int
    shared_experts: int = 0
    dense_layers: int = 0
    capacity_factor: float = 1.0

    def __post_init__(self) -> None:
        """Refuse dimensions that no mixture has."""
        _refuse_below(self, ("experts", "top_k", "expert_feed_forward"), 1)
        _refuse_below(self, ("shared_experts", "dense_layers"), 0)
        if self.top_k > self.experts:
            raise ValueError(f"top_k: {self.top_k} exceed the {self.experts} experts")
        if not 0 < self.capacity_factor < float("inf"):
            raise ValueError(f"capacity_factor: {self.capacity_factor} is not positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Attention whose keys and values come from a narrow latent vector (MLA).

    Fields:
        query_rank: width of the queries' latent vector; 0 without one [1].
        kv_rank: width of that of keys and values [1].
        plain_width: features of a head's query and key without a position [1].
        rotary_width: features that carry the position; all heads share the key's [1].
        value_width: features of a head's value [1].

    Source: DeepSeek-V2, arXiv:2405.04434, section 2.1, from memory.
    """

    query_rank: int
    kv_rank: int
    plain_width: int
    rotary_width: int
    value_width: int

    def __post_init__(self) -> None:
        """Refuse dimensions that no such attention has."""
        _refuse_below(self, ("query_rank",), 0)
        names = ("kv_rank", "plain_width", "rotary_width", "value_width")
        _refuse_below(self, names, 1)

    @property
    def key_width(self) -> int:
        """Features of a head's query and key [1]."""
        return self.plain_width + self.rotary_width


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerShape:
    """Dimensions of a transformer; a ValueError names the one that does not fit.

    Fields:
        family: `gpt`, `bert` or `llama`.
        layers, hidden, heads: L, h, a [1].
        sequence_length: s [tokens].
        vocabulary: V, padded as it is trained [1].
        feed_forward: inner width; 4h for gpt and bert [1].
        kv_heads: key-value heads; a unless grouped [1].
        positions: rows of the learned position table; 0 for rotary [1].
        tied: whether the output layer shares the embedding table.
        attention: `materialized` stores the scores, as Megatron-LM did until 2022;
            `flash` is one fused kernel.
        kernels: between products: those of a training `library` (Megatron-LM), one for
            every operation of PyTorch (`eager`), those that torch.compile makes
            (`compiled`), or Transformer Engine's (`engine`).
        fused_loss: whether one kernel makes loss and gradient of the logits in any
            case.
        loss_metrics: losses computed again from the logits, for metrics alone [1].
        head_width: features of a head; 0 for h / a [1].
        experts: a mixture in place of the feed-forward part, if any.
        latent: of latent attention, if it is that.
        variant: traits that differ from those of the family, if any.
    """

    family: Family
    layers: int
    hidden: int
    heads: int
    sequence_length: int
    vocabulary: int
    feed_forward: int
    kv_heads: int
    positions: int
    tied: bool
    attention: Attention = "materialized"
    kernels: Kernels = "library"
    fused_loss: bool = False
    loss_metrics: int = 0
    head_width: int = 0
    experts: Experts | None = None
    latent: Latent | None = None
    variant: Traits | None = None

    def __post_init__(self) -> None:
        """Refuse dimensions that no such network has."""
        if self.family not in get_args(Family):
            allowed = ", ".join(get_args(Family))
            raise ValueError(f"family: {self.family!r} is none of {allowed}")
        if self.attention not in get_args(Attention):
            allowed = ", ".join(get_args(Attention))
            raise ValueError(f"attention: {self.attention!r} is none of {allowed}")
        _refuse_below(self, _POSITIVE, 1)
        _refuse_below(self, ("head_width",), 0)
        self._check_heads()
        self._check_parts()
        if 0 < self.positions < self.sequence_length:
            raise ValueError(
                f"sequence_length: {self.sequence_length} tokens exceed the "
                f"{self.positions} rows of the learned position table"
            )

    @property
    def multiplies_apart(self) -> bool:
        """Whether queries, keys and values, gate and up have a matrix each.

        As the Llamas of PyTorch have, and those of training libraries have not.
        """
        return self.traits.is_gated and self.kernels in {"eager", "compiled"}

    def _check_heads(self) -> None:
        if not self.head_width and self.latent is None and self.hidden % self.heads:
            raise ValueError(
                f"heads: {self.heads} do not divide hidden {self.hidden} "
                f"({self.hidden} / {self.heads} = {self.hidden / self.heads:.4g} "
                "features a head)"
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads: {self.kv_heads} do not divide heads {self.heads} "
                f"({self.heads} / {self.kv_heads} = {self.heads / self.kv_heads:.4g} "
                "heads a group)"
            )

    def _check_parts(self) -> None:
        if self.experts is not None and self.experts.dense_layers > self.layers:
            first = self.experts.dense_layers
            raise ValueError(f"dense_layers: {first} exceed the {self.layers} layers")
        if self.experts is not None and not self.traits.is_gated:
            raise ValueError(f"experts: a mixture of experts is not for {self.family}")
        if self.latent is None:
            return
        if not self.traits.is_rotary:
            raise ValueError(f"kv_rank: latent attention is not for {self.family}")
        if self.kv_heads != self.heads:
            raise ValueError(
                f"kv_heads: {self.kv_heads} of {self.heads} heads, but latent attention"
                " has no grouped heads"
            )

    @property
    def traits(self) -> Traits:
        """Which operators a block is made of."""
        return self.variant or TRAITS[self.family]

    @property
    def head(self) -> int:
        """Features of a head, where attention is not latent [1]."""
        return self.head_width or self.hidden // self.heads

    @property
    def label(self) -> str:
        """What kind of network it is, as profiles list what they were fitted to."""
        parts = ["experts"] if self.experts else []
        parts += ["latent attention"] if self.latent else []
        parts += ["flash attention"] if self.attention == "flash" else []
        label = self.traits.label
        return f"{label} with {', '.join(parts)}" if parts else label


def _refuse_below(record: object, names: tuple[str, ...], least: int) -> None:
    for name in names:
        value = getattr(record, name)
        if value < least:
            raise ValueError(f"{name}: {value} is below {least}")
