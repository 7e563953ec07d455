"""Published transformers as records: dimensions and where they were read.

The number of parameters is no field: the layer table counts it, and the tests compare
the count with the published one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from models.transformer_shape import Experts, Latent, TransformerShape
from models.transformer_traits import QWEN3

_NANOGPT = "GPT-2 dimensions as in karpathy/nanoGPT model.py, from_pretrained"
_SC21 = "Narayanan et al., arXiv:2104.04473, table 1"
_GPT3 = "Narayanan et al., arXiv:2104.04473, section 5.1 and table 2"
_SELECTIVE = "Korthikanti et al., arXiv:2205.05198, table 3"
_BERT = "google-research/bert README; counts the pooler and both pre-training heads"
_LLAMA2 = "Llama 2; dimensions fixed by the published parameter counts"
_LLAMA3 = "pytorch/torchtitan llama3 configurations; published parameter counts"
_MIXTRAL = "Mixtral's config.json on Hugging Face, as its dimensions are listed there"
_DEEPSEEK = "deepseek-ai/DeepSeek-V3 inference/configs; without multi-token prediction"
_QWEN3 = "Qwen3's config.json on Hugging Face, as its dimensions are listed there"


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


def mixtral(
    layers: int, hidden: int, heads: int, feed_forward: int, vocabulary: int
) -> TransformerShape:
    """Return a Mixtral: a Llama with 8 experts a block, of which a token uses two."""
    dense = llama(layers, hidden, heads, 8, feed_forward, 4096, vocabulary)
    experts = Experts(experts=8, top_k=2, expert_feed_forward=feed_forward)
    return replace(dense, experts=experts)


def deepseek(  # noqa: PLR0913 - the dimensions of a configuration, in its order
    layers: int,
    hidden: int,
    heads: int,
    feed_forward: int,
    vocabulary: int,
    *,
    query_rank: int,
    experts: Experts,
) -> TransformerShape:
    """Return a DeepSeek-V2 or V3: latent attention and fine-grained experts."""
    dense = llama(layers, hidden, heads, heads, feed_forward, 4096, vocabulary)
    latent = Latent(
        query_rank=query_rank,
        kv_rank=512,
        plain_width=128,
        rotary_width=64,
        value_width=128,
    )
    return replace(dense, latent=latent, experts=experts)


def qwen3_mixture(
    layers: int, hidden: int, heads: int, feed_forward: int, inner: int
) -> TransformerShape:
    """Return a Qwen3 with 128 experts of `inner` features, of which a token uses 8."""
    dense = llama(layers, hidden, heads, 4, feed_forward, 4096, 151936)
    experts = Experts(experts=128, top_k=8, expert_feed_forward=inner)
    return replace(dense, head_width=128, experts=experts, variant=QWEN3)


_V2_LITE = Experts(
    experts=64, top_k=6, expert_feed_forward=1408, shared_experts=2, dense_layers=1
)
_V2 = Experts(
    experts=160, top_k=6, expert_feed_forward=1536, shared_experts=2, dense_layers=1
)
_V3 = Experts(
    experts=256, top_k=8, expert_feed_forward=2048, shared_experts=1, dense_layers=3
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
    Published("mixtral-8x7b", mixtral(32, 4096, 32, 14336, 32000), _MIXTRAL),
    Published("mixtral-8x22b", mixtral(56, 6144, 48, 16384, 32768), _MIXTRAL),
    Published(
        "deepseek-v2-lite",
        deepseek(27, 2048, 16, 10944, 102400, query_rank=0, experts=_V2_LITE),
        _DEEPSEEK,
    ),
    Published(
        "deepseek-v2",
        deepseek(60, 5120, 128, 12288, 102400, query_rank=1536, experts=_V2),
        _DEEPSEEK,
    ),
    Published(
        "deepseek-v3",
        deepseek(61, 7168, 128, 18432, 129280, query_rank=1536, experts=_V3),
        _DEEPSEEK,
    ),
    Published("qwen3-30b-a3b", qwen3_mixture(48, 2048, 32, 6144, 768), _QWEN3),
    Published("qwen3-235b-a22b", qwen3_mixture(94, 4096, 64, 12288, 1536), _QWEN3),
)
