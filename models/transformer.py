"""Transformers of any dimensions: GPT, BERT, Llama and their kin, layer by layer.

What is modelled is Megatron-LM's block of 2021-22 (fused bias-GELU, fused
bias-dropout-residual, fused scale-mask-softmax) for GPT and BERT, and the RMSNorm,
SwiGLU, rotary, grouped-query block with flash attention for Llama, whose feed-forward
part may be a mixture of experts and whose attention may be latent.

Limits: unless it is a flash kernel, attention stores its s x s scores, and a causal
mask saves no FLOP, as in the kernels of that time. BERT predicts every token, not the
masked 15 % that some implementations gather first. Windows of local attention and soft
caps of scores and logits are not modelled: attention is over the whole sequence.
Layers that predict further tokens (DeepSeek-V3's MTP) are left out.
"""

from __future__ import annotations

from models.functions import Activation, Addition, Loss
from models.kernel_bytes import LOSS
from models.model import Layer, Model
from models.operators import Elementwise, Embedding, Linear, Operator, Split
from models.transformer_block import block, reads
from models.transformer_elements import activation, dropout, norm
from models.transformer_shape import Family, TransformerShape
from models.wiring import CHAIN, FIRST_TOKEN, INPUT, Reads

__all__ = ["Family", "TransformerShape", "transformer"]

_BERT_READS: Reads = {"pooler": (FIRST_TOKEN,), "mlm transform": (INPUT,)}


def transformer(name: str, shape: TransformerShape) -> Model:
    """Return the layer table: an embedding, L blocks, an output head.

    Blocks are equal, but for the first of a mixture that are dense.
    """
    return Model(
        name=name,
        layers=(_embedding(shape), *_blocks(shape), _head(shape)),
        tokens_per_sample=shape.sequence_length,
        attention="causal" if shape.traits.is_causal else "full",
        family=shape.label,
    )


def _blocks(shape: TransformerShape) -> tuple[Layer, ...]:
    elements = shape.sequence_length * shape.hidden
    num_dense = shape.experts.dense_layers if shape.experts else 0
    layer = Layer("block", block(shape), elements, reads=reads(shape))
    if not num_dense:
        return (layer,) * shape.layers
    dense = Layer(
        "dense block",
        block(shape, is_dense=True),
        elements,
        reads=reads(shape, is_dense=True),
    )
    return (dense,) * num_dense + (layer,) * (shape.layers - num_dense)


def _embedding(shape: TransformerShape) -> Layer:
    tokens, hidden = shape.sequence_length, shape.hidden
    operators: list[Operator] = [
        Embedding("word embedding", shape.vocabulary, hidden, tokens)
    ]
    if shape.positions:
        operators.append(
            Embedding(
                "position embedding", shape.positions, hidden, tokens, split=Split.NONE
            )
        )
    if shape.family == "bert":
        operators.append(Embedding("token types", 2, hidden, tokens, split=Split.NONE))
    tables = tuple(operator.name for operator in operators)
    if shape.traits.has_dropout:
        # The sum of the looked-up rows reads two and writes one; its gradient is free.
        summed = 6.0 * tokens * hidden
        operators.append(
            Elementwise(
                "embedding sum", summed, 0.0, launches=(1, 0), function=Addition()
            )
        )
    if shape.family == "bert":
        operators.append(norm("embedding norm", shape))
    if shape.traits.has_dropout:
        operators.append(dropout("embedding dropout", tokens * hidden, Split.NONE))
    return Layer(
        "embedding",
        tuple(operators),
        tokens * hidden,
        role="embedding",
        reads=dict.fromkeys(tables, (INPUT,)) | {"embedding sum": tables},
    )


def _head(shape: TransformerShape) -> Layer:
    tokens, hidden, vocabulary = (
        shape.sequence_length,
        shape.hidden,
        shape.vocabulary,
    )
    is_bert = shape.family == "bert"
    before = _bert_heads(shape) if is_bert else (norm("final norm", shape),)
    logits = Linear(
        "logits",
        tokens,
        hidden,
        vocabulary,
        bias=is_bert,
        split=Split.COLUMN,
        owns_weight=not shape.tied,
    )
    elements = float(tokens * vocabulary)
    moved = LOSS["engine" if shape.fused_loss else shape.kernels]
    metrics = (_metrics(elements, shape.loss_metrics),) if shape.loss_metrics else ()
    loss = Elementwise(
        "cross entropy",
        forward_bytes=elements * moved.forward,
        backward_bytes=elements * moved.backward,
        kept_bytes=elements * moved.kept,
        split=Split.INNER,
        launches=moved.launches,
        scales=False,
        kind="loss",
        function=Loss("cross entropy"),
    )
    return Layer(
        "head",
        (*before, logits, *metrics, loss),
        tokens,
        role="head",
        tied_to="embedding" if shape.tied else None,
        reads=_BERT_READS if is_bert else CHAIN,
        leaves=("next sentence",) if is_bert else (),
    )


def _metrics(elements: float, count: int) -> Elementwise:
    """Return losses that metrics compute again, which keep nothing.

    Each is the forward of torch's `cross_entropy`, whatever kernels the loss has: under
    autocast it copies the logits to fp32 and writes the logarithms of the softmax.

    Limits: Composer does so after the backward, when the activations are gone, so what
    it holds of logits meanwhile (10 bytes an element) is not in the peak.

    Source: mosaicml/composer v0.16.4, `composer/trainer/trainer.py`
    (`_eval_train_metrics`) and `composer/metrics/nlp.py`.

    Args:
        elements: of the logits of a sample [1].
        count: of metrics [1].
    """
    moved = LOSS["eager"]
    return Elementwise(
        "metrics",
        forward_bytes=elements * moved.forward * count,
        backward_bytes=0.0,
        split=Split.INNER,
        launches=(moved.launches[0] * count, 0),
        scales=False,
        kind="loss",
        function=Loss("cross entropy"),
    )


def _bert_heads(shape: TransformerShape) -> tuple[Operator, ...]:
    """Return the pre-training heads ahead of the logits.

    Next-sentence prediction pools the first token, so its matrices see one row a
    sample; masked-language prediction transforms every token.
    """
    tokens, hidden = shape.sequence_length, shape.hidden
    return (
        Linear("pooler", 1, hidden, hidden),
        # tanh reads and writes once; its output is kept as the next product's input.
        Elementwise(
            "pooler tanh",
            forward_bytes=4.0 * hidden,
            backward_bytes=6.0 * hidden,
            function=Activation("tanh"),
        ),
        Linear("next sentence", 1, hidden, 2),
        Linear("mlm transform", tokens, hidden, hidden),
        activation("mlm gelu", tokens * hidden, Split.NONE),
        norm("mlm norm", shape),
    )
