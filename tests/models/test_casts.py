"""What is cast where, when kernels write what products read in fp8: bytes by hand."""

from dataclasses import replace

import pytest

from models.catalogue import build
from models.operators.casts import casts_backward, casts_forward, transposes
from models.work import Share

H, S, T = 64, 32, 4
WIDE = Share(samples=1, tensor=T, sequence=T)
NARROW = replace(WIDE, operand=1.0, cast_reads=0)
DIMENSIONS = {
    "family": "gpt",
    "layers": 1,
    "hidden": H,
    "heads": 4,
    "sequence_length": S,
    "vocabulary": 128,
    "attention": "flash",
    "dropout": False,
}
BLOCK = build("gpt", DIMENSIONS).layers[1]
OPERATORS = {operator.name: operator for operator in BLOCK.operators}


def sizes(works):
    return sum(work.size for work in works)


def saved(works, name):
    return {work.name: work.size for work in works}[name]


@pytest.mark.parametrize(
    ("name", "forward", "backward", "weight"),
    [
        # The norm wrote its input, 1 B. Its gradient, of 3 h / t features of all
        # tokens, is read in 2 B and written twice in 1 B; its input is transposed.
        ("qkv", 0, 4 * S * 3 * H / T, 2 * S * H),
        # Attention's output, h / t features, is read and written twice. Of the
        # gradient a part of s / t tokens is read and written once, and transposed
        # when all of it was gathered.
        ("projection", 4 * S * H / T, 3 * S * H / T, 2 * S * H),
        # Its gradient comes from the activation's backward, cast and transposed.
        ("fc1", 0, 0, 2 * S * H),
        # Its input, 4 h / t features, and the gathered gradient are transposed.
        ("fc2", 0, 3 * S * H / T, 2 * S * (4 * H / T + H)),
    ],
)
def test_casts_and_transposes_of_a_block(name, forward, backward, weight):
    linear = OPERATORS[name]
    assert forward == sizes(casts_forward(linear, NARROW))
    assert backward == sizes(casts_backward(linear, NARROW))
    assert weight == sizes(transposes(linear, NARROW))
    for works in (casts_forward, casts_backward, transposes):
        assert not works(linear, WIDE)


def test_without_sequence_parallelism_the_cast_of_a_gradient_transposes_it():
    share = replace(NARROW, sequence=1)
    assert sizes(casts_backward(OPERATORS["fc2"], share)) == 4 * S * H
    assert sizes(transposes(OPERATORS["fc2"], share)) == 2 * S * 4 * H / T


@pytest.mark.parametrize(
    ("name", "elements"), [("attention norm", S * H / T), ("gelu", 4 * S * H / T)]
)
def test_writers_write_one_byte_a_number_for_products(name, elements):
    (wide,), (narrow,) = (OPERATORS[name].forward(share) for share in (WIDE, NARROW))
    assert narrow.size == wide.size - elements


def test_gradients_of_biases_are_summed_where_gradients_are_cast():
    # Columns: by the casting kernel. Rows: of the rank's part, before it is gathered.
    columns = OPERATORS["fc1"].backward_weight(NARROW)
    assert len(columns) == 1
    rows = OPERATORS["fc2"].backward_weight(NARROW)
    assert saved(rows, "fc2 bias W") == 2 * S * H / T


def test_products_keep_what_they_read_in_the_narrow_format():
    # The projection's input is kept twice: by attention as it is, and cast.
    kept = {name: OPERATORS[name].saved_bytes(NARROW) for name in OPERATORS}
    assert kept["qkv"] == S * H / T
    assert kept["fc2"] == 4 * S * H / T
    assert kept["projection"] == (2 + 1) * S * H / T
