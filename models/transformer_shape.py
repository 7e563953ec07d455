"""The dimensions of a transformer, and what must hold between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Family = Literal["gpt", "bert", "llama"]
Attention = Literal["materialized", "flash"]

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

    def __post_init__(self) -> None:
        """Refuse dimensions that no such network has."""
        if self.family not in get_args(Family):
            allowed = ", ".join(get_args(Family))
            raise ValueError(f"family: {self.family!r} is none of {allowed}")
        if self.attention not in get_args(Attention):
            allowed = ", ".join(get_args(Attention))
            raise ValueError(f"attention: {self.attention!r} is none of {allowed}")
        for field in _POSITIVE:
            value = getattr(self, field)
            if value < 1:
                raise ValueError(f"{field}: {value} is below 1")
        if self.hidden % self.heads:
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
        if 0 < self.positions < self.sequence_length:
            raise ValueError(
                f"sequence_length: {self.sequence_length} tokens exceed the "
                f"{self.positions} rows of the learned position table"
            )
