"""Published transformers as records: dimensions and where they were read.

The number of parameters is no field: the layer table counts it, and the tests compare
the count with the published one.
"""

from __future__ import annotations

from typing import NamedTuple

from models.transformer_shape import TransformerShape

_NANOGPT = "GPT-2 dimensions as in karpathy/nanoGPT model.py, from_pretrained"
_SC21 = "Narayanan et al., arXiv:2104.04473, table 1"
_GPT3 = "Narayanan et al., arXiv:2104.04473, section 5.1 and table 2"
_SELECTIVE = "Korthikanti et al., arXiv:2205.05198, table 3"
_BERT = "google-research/bert README; counts the pooler and both pre-training heads"
_LLAMA2 = "Llama 2; dimensions fixed by the published parameter counts"
_LLAMA3 = "pytorch/torchtitan llama3 configurations; published parameter counts"


class Published(NamedTuple):
    """A transformer that somebody trained.

    Fields:
        name: as a plan writes it.
        shape: its dimensions.
        source: where they were read.
    """

    name: str
    shape: TransformerShape
    source: str


def gpt(  # noqa: PLR0913 - the dimensions of a table row, in its order
    layers: int,
    hidden: int,
    heads: int,
    sequence_length: int = 2048,
    vocabulary: int = 51200,
    *,
    family: str = "gpt",
) -> TransformerShape:
    """Return a GPT (or BERT): feed-forward 4h, learned positions, tied embedding."""
    return TransformerShape(
        family="bert" if family == "bert" else "gpt",
        layers=layers,
        hidden=hidden,
        heads=heads,
        sequence_length=sequence_length,
        vocabulary=vocabulary,
        feed_forward=4 * hidden,
        kv_heads=heads,
        positions=sequence_length,
        tied=True,
    )


def llama(  # noqa: PLR0913, PLR0917 - the dimensions of a table row, in its order
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    feed_forward: int,
    sequence_length: int,
    vocabulary: int,
) -> TransformerShape:
    """Return a Llama: rotary positions, an output matrix of its own."""
    return TransformerShape(
        family="llama",
        layers=layers,
        hidden=hidden,
        heads=heads,
        sequence_length=sequence_length,
        vocabulary=vocabulary,
        feed_forward=feed_forward,
        kv_heads=kv_heads,
        positions=0,
        attention="flash",
        tied=False,
    )


PUBLISHED: tuple[Published, ...] = (
    Published("gpt2", gpt(12, 768, 12, 1024, 50257), _NANOGPT),
    Published("gpt2-medium", gpt(24, 1024, 16, 1024, 50257), _NANOGPT),
    Published("gpt2-large", gpt(36, 1280, 20, 1024, 50257), _NANOGPT),
    Published("gpt2-xl", gpt(48, 1600, 25, 1024, 50257), _NANOGPT),
    Published("gpt3-175b", gpt(96, 12288, 96), _GPT3),
    Published("megatron-1.7b", gpt(24, 2304, 24), _SC21),
    Published("megatron-3.6b", gpt(30, 3072, 32), _SC21),
    Published("megatron-7.5b", gpt(36, 4096, 32), _SC21),
    Published("megatron-18.4b", gpt(40, 6144, 48), _SC21),
    Published("megatron-39.1b", gpt(48, 8192, 64), _SC21),
    Published("megatron-76.1b", gpt(60, 10240, 80), _SC21),
    Published("megatron-145.6b", gpt(80, 12288, 96), _SC21),
    Published("megatron-310.1b", gpt(96, 16384, 128), _SC21),
    Published("megatron-529.6b", gpt(105, 20480, 128), _SC21),
    Published("megatron-1008b", gpt(128, 25600, 160), _SC21),
    Published("megatron-22b", gpt(48, 6144, 64), _SELECTIVE),
    Published("megatron-530b", gpt(105, 20480, 128), _SELECTIVE),
    Published("megatron-1t", gpt(128, 25600, 160), _SELECTIVE),
    Published("bert-base", gpt(12, 768, 12, 512, 30522, family="bert"), _BERT),
    Published("bert-large", gpt(24, 1024, 16, 512, 30522, family="bert"), _BERT),
    Published("llama2-7b", llama(32, 4096, 32, 32, 11008, 4096, 32000), _LLAMA2),
    Published("llama2-13b", llama(40, 5120, 40, 40, 13824, 4096, 32000), _LLAMA2),
    Published("llama2-70b", llama(80, 8192, 64, 8, 28672, 4096, 32000), _LLAMA2),
    Published("llama3-8b", llama(32, 4096, 32, 8, 14336, 8192, 128256), _LLAMA3),
    Published("llama3-70b", llama(80, 8192, 64, 8, 28672, 8192, 128256), _LLAMA3),
    Published("llama3-405b", llama(126, 16384, 128, 8, 53248, 8192, 128256), _LLAMA3),
)
