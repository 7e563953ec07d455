"""Stacked long short-term memory: language models, and classifiers of whole sequences.

Every recurrent layer is a layer of the table, so that a pipeline can cut between them.
A language model puts out a row of logits a step; a classifier one for the last step.

Limits: sequences have one length; state handed from one batch to the next is free.

Source of the dropouts and of the language models' shape: Zaremba et al.,
    arXiv:1409.2329 (from memory).
"""

from __future__ import annotations

from typing import NamedTuple

from models.classification import cross_entropy
from models.functions import Dropout
from models.model import Layer, Model
from models.operators import Elementwise, Embedding, Linear, Lstm, Operator, Split
from models.wiring import CHAIN, LAST_TOKEN

LSTM_KEYS = ("layers", "hidden", "sequence_length", "vocabulary")


class LstmShape(NamedTuple):
    """Dimensions of a stack.

    Fields:
        layers: recurrent layers [1].
        hidden: units of each [1].
        sequence_length: steps [1].
        vocabulary: entries of the embedding table [1].
        embedding: features of an entry; 0 for as many as hidden units [1].
        classes: of the last step's classifier; 0 for a language model, which puts out
            the vocabulary at every step [1].
        has_dropout: whether activations are dropped between layers.
    """

    layers: int
    hidden: int
    sequence_length: int
    vocabulary: int
    embedding: int = 0
    classes: int = 0
    has_dropout: bool = True


def lstm(name: str, shape: LstmShape) -> Model:
    """Return an embedding, the recurrent layers and an output head."""
    inner = shape.embedding or shape.hidden
    layers = [_embedding(shape, inner)]
    built: dict[int, Layer] = {}
    for _ in range(shape.layers):
        if inner not in built:
            built[inner] = _recurrent(shape, inner)
        layers.append(built[inner])
        inner = shape.hidden
    layers.append(_head(shape))
    return Model(name, tuple(layers), shape.sequence_length, family="lstm")


def _embedding(shape: LstmShape, width: int) -> Layer:
    steps = shape.sequence_length
    table = Embedding("embedding", shape.vocabulary, width, steps, split=Split.NONE)
    operators = (table, *_dropped(shape, width))
    return Layer("embedding", operators, steps * width, role="embedding")


def _recurrent(shape: LstmShape, inner: int) -> Layer:
    steps, hidden = shape.sequence_length, shape.hidden
    recurrent = Lstm("lstm", steps, inner, hidden)
    operators = (recurrent, *_dropped(shape, hidden))
    return Layer("lstm", operators, steps * hidden)


def _dropped(shape: LstmShape, width: int) -> tuple[Operator, ...]:
    """Return a dropout, if the stack has any: reads and writes once, keeps its mask."""
    if not shape.has_dropout:
        return ()
    elements = float(shape.sequence_length * width)
    moved = 4.0 * elements
    return (
        Elementwise("dropout", moved, moved, mask_bytes=elements, function=Dropout()),
    )


def _head(shape: LstmShape) -> Layer:
    """Return the output's matrix and the loss; a classifier reads the last step."""
    rows = 1 if shape.classes else shape.sequence_length
    classes = shape.classes or shape.vocabulary
    operators = (
        Linear("logits", rows, shape.hidden, classes),
        cross_entropy("cross entropy", classes, rows),
    )
    reads = {"logits": (LAST_TOKEN,)} if shape.classes else CHAIN
    return Layer("head", operators, rows, role="head", reads=reads)
