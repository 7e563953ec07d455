"""The table of a plan that says what is done otherwise in some layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.plans.fields import (
    ContextMethod,
    DenseScheme,
    DenseUpdates,
    LayerSplit,
    Recompute,
)
from simulator.plans.section import Section

BlockNumbers = Annotated[str, Field(max_length=200)]


class LayerSection(Section):
    """What is done otherwise in the layers of one name, or of several alike."""

    match: str = Field(
        description="Names of layers; * stands for any letters, ? for one. Of several"
        " tables that match a layer, the first that has a key counts.",
        examples=["fc*"],
    )
    blocks: BlockNumbers | None = Field(
        default=None,
        description="Of blocks alike, those of these numbers, counted from 0: numbers"
        " or slices as Python has them; left out, all.",
        examples=[":8", "-8:", "::4", "0, 5, 8:16"],
    )
    stage_blocks: BlockNumbers | None = Field(
        default=None,
        description="The same, counted in each (virtual) stage of the pipeline anew;"
        " stages that have no such block are left out.",
        examples=[":2"],
    )
    split: LayerSplit | None = Field(
        default=None,
        description="What the replicas divide: samples, or the neurons of the dense"
        " layers at the end (Krizhevsky's hybrid); left out, samples.",
    )
    scheme: DenseScheme | None = Field(
        default=None,
        description="How layers split by neurons get their samples: all of all"
        " replicas at once, those of one replica after the other, or an equal part of"
        " each replica's at a time; left out, in turn. Schemes (a), (b) and (c).",
    )
    updates: DenseUpdates | None = Field(
        default=None,
        description="Whether the weights of layers split by neurons change once a"
        " step, or after each portion of samples; left out, once.",
    )
    tensor: Literal[1] | None = Field(
        default=None,
        description="1 where tensor ranks do not divide these layers, and each has them"
        " whole; left out, they do.",
    )
    zero: Annotated[int, Field(ge=0, le=3)] | None = Field(
        default=None,
        description="States of these layers that replicas divide: at most as many as"
        " of the others; 0 where every replica holds them whole and gradients are"
        " summed by all-reduce; left out, as in all.",
    )
    reshard: bool | None = Field(
        default=None,
        description="Whether gathered parameters of these layers are dropped between"
        " forward and backward, where zero = 3 (FSDP2's reshard_after_forward); left"
        " out, as in all.",
    )
    context: Literal[1] | None = Field(
        default=None,
        description="1 where context ranks do not divide the tokens of these blocks:"
        " each gathers whole samples before them, computes them all, and hands its own"
        " tokens on; left out, they do.",
    )
    context_method: ContextMethod | None = Field(
        default=None,
        description="How attention in these layers meets the keys and values of other"
        " devices; left out, as in all.",
    )
    expert: Literal[1] | None = Field(
        default=None,
        description="1 where every device holds all experts of these layers, and no"
        " token is sent to them; left out, they are divided.",
    )
    recompute: Recompute | None = Field(
        default=None,
        description="Activations of these layers that are computed again in backward;"
        " left out, as in all.",
    )

    @property
    def counts_blocks(self) -> bool:
        """Whether it holds for blocks of some numbers only."""
        return self.blocks is not None or self.stage_blocks is not None
