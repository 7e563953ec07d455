"""What optimizers keep and move per parameter, by hand."""

import pytest

from simulator.job import arrange
from simulator.lowering.formats import (
    optimizer_bytes,
    optimizer_traffic,
    working_bytes,
)
from simulator.memory.peak import memory
from tests.laws.small_plans import plan

PAIRS = 5


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        ("sgd", 0),
        ("momentum", 1),
        ("adagrad", 1),
        ("adam", 2),
        ("lbfgs", 2 * PAIRS + 2),
    ],
)
@pytest.mark.parametrize(("zero", "shards"), [(0, 1), (1, 4)])
def test_states_are_fp32_beside_a_master_copy(optimizer, states, zero, shards):
    """Adagrad sums squares; L-BFGS has n steps, n differences of gradients, the last
    gradient and the direction. ZeRO divides them all.
    """
    small = plan(data=4).replace(
        {
            "training.optimizer": optimizer,
            "training.history": PAIRS,
            "parallelism.zero": zero,
        }
    )
    held = memory(arrange(small))[0]
    parameters = held.weights / 2
    assert held.optimizer == 4 * (states + 1) * parameters / shards


def test_lbfgs_reads_its_pairs_twice():
    """fp32: weight read and written, gradient read, cleared (4 passes), direction read;
    a pair takes 2 dot products of 2 vectors and 2 sums of 3; the new pair (3 and 2),
    scaling (2) and keeping the gradient (2) are 9 more.
    """
    passes = 4 + 1 + 2 * (2 + 3) * PAIRS + 9
    assert optimizer_traffic("lbfgs", "fp32", "fp32", PAIRS) == 4 * passes
    assert optimizer_bytes("lbfgs", "fp32", PAIRS) == 4 * (2 * PAIRS + 2)
    assert working_bytes("lbfgs") == 4


def test_adagrad_moves_what_momentum_does():
    """Weight and one state read and written, gradient read and cleared: 6 passes."""
    assert optimizer_traffic("adagrad", "fp32", "fp32") == 4 * 6
    assert optimizer_traffic("momentum", "fp32", "fp32") == 4 * 6


def test_only_adam_like_states_are_left_out_of_the_step():
    assert working_bytes("adam") == 0
