"""What every architecture of Hugging Face has in common: most names of its keys."""

from __future__ import annotations

from typing import NamedTuple

from models.huggingface.values import ConfigValues
from models.transformer_shape import Family, TransformerShape
from models.transformer_traits import TRAITS, Traits

_MAX_LAYERS = 1_048_576


class Draft(NamedTuple):
    """What a file says, before the sequence length is known.

    Fields:
        shape: of samples of one token.
        longest: tokens that positions are made for [1].
    """

    shape: TransformerShape
    longest: int


def drafted(  # noqa: PLR0913 - what architectures differ in
    values: ConfigValues,
    *,
    family: Family,
    traits: Traits,
    kv_heads: int,
    feed_forward: int | None = None,
    head_width: int = 0,
    is_tied: bool = False,
    extra_positions: int | None = None,
) -> Draft:
    """Return a draft from the keys that most architectures share.

    Args:
        values: of the file.
        family: nearest family of ours.
        traits: which operators a block is made of.
        kv_heads: key-value heads [1].
        feed_forward: inner width; None to read it [1].
        head_width: features of a head; 0 for hidden / heads [1].
        is_tied: whether the output shares the embedding, where the file is silent.
        extra_positions: rows of a learned position table beyond the longest sample;
            None without a table [1].
    """
    longest = values.integer("max_position_embeddings", 2048)
    has_table = extra_positions is not None
    shape = TransformerShape(
        family=family,
        layers=values.integer("num_hidden_layers", most=_MAX_LAYERS),
        hidden=values.integer("hidden_size"),
        heads=values.integer("num_attention_heads"),
        sequence_length=1,
        vocabulary=values.integer("vocab_size"),
        feed_forward=feed_forward or values.integer("intermediate_size"),
        kv_heads=kv_heads,
        positions=longest + (extra_positions or 0) if has_table else 0,
        tied=values.flag("tie_word_embeddings", default=is_tied),
        attention="materialized" if has_table else "flash",
        head_width=head_width,
        variant=None if traits == TRAITS[family] else traits,
    )
    return Draft(shape, longest)


def num_heads(values: ConfigValues) -> int:
    """Return the attention heads [1]."""
    return values.integer("num_attention_heads")
