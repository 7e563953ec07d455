"""Whose kernels: fewer of them move fewer bytes, and compute the same."""

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from models.catalogue import build
from models.samples import loss_kind
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


@given(metrics=integers(1, 4), samples=integers(1, 3), tensor=sampled_from([1, 2]))
def test_metrics_add_so_many_losses_forward_and_nothing_else(metrics, samples, tensor):
    """To fp32 6 bytes, logarithm of the softmax 12: 18 each for every logit."""
    share = Share(samples=samples, tensor=tensor)
    plain = build("gpt3-175b", {"fused_loss": True})
    other = build("gpt3-175b", {"fused_loss": True, "loss_metrics": metrics})
    (added,) = set(other.layers[-1].operators) - set(plain.layers[-1].operators)
    logits = samples * 2048 * 51200 / tensor
    (work,) = added.forward(share)
    assert work.size == 18 * metrics * logits
    assert work.launches == 6 * metrics
    assert added.backward_input(share) == added.backward_weight(share) == ()
    assert added.saved_bytes(share) == 0
    assert loss_kind(other) == "cross entropy"
