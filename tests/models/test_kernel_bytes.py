"""Whose kernels: fewer of them move fewer bytes, and compute the same."""

import pytest

from models.catalogue import build
from models.work import Share

SHARE = Share(samples=1)


def moved(kernels):
    model = build("llama3-8b", {"kernels": kernels})
    return sum(
        work.size
        for layer in model.layers
        for operator in layer.operators
        for work in (*operator.forward(SHARE), *operator.backward_input(SHARE))
        if work.kind in {"memory", "loss"}
    )


def test_joined_kernels_move_less_than_those_of_single_operations():
    assert moved("engine") < moved("library") < moved("compiled") < moved("eager")


@pytest.mark.parametrize("kernels", ["engine", "compiled", "eager"])
def test_kernels_change_neither_parameters_nor_flop(kernels):
    plain, other = build("llama3-8b"), build("llama3-8b", {"kernels": kernels})
    assert plain.parameters == other.parameters
    assert plain.forward_flop() == other.forward_flop()
    assert plain.backward_flop() == other.backward_flop()


def test_a_fused_loss_keeps_the_gradient_in_place_of_the_logits():
    plain = build("llama3-8b", {"kernels": "eager", "fused_loss": True})
    (loss,) = (op for op in plain.layers[-1].operators if op.name == "cross entropy")
    assert loss.saved_bytes(SHARE) == 2 * 8192 * 128256
