"""Layers that tensor ranks do not divide, beside others that they do."""

import pytest

from simulator.api import simulate
from simulator.plan import Plan

WIDTHS = [64, 128, 256, 32, 10]


def dense(*rules, tensor=2):
    """A network whose products pair up: fc1 with fc2, then fc3 with fc4."""
    return Plan.from_mapping(
        {
            "model": {"family": "mlp", "widths": WIDTHS},
            "batch": {"global": 8, "micro": 8},
            "parallelism": {"tensor": tensor, "layers": list(rules)},
            "training": {"precision": "fp32", "optimizer": "sgd"},
            "cluster": {
                "device": "v100-sxm2-16gb",
                "devices_per_node": tensor,
                "fabric": "nvlink-2",
            },
        }
    )


def sent(plan):
    return {(row.op, row.axis): row.bytes for row in simulate(plan).ledger}


def test_a_whole_pair_sends_nothing():
    """Column, then row: one sum of the row's outputs in forward, 8 x 256 x 4 bytes,
    and one of the column's inputs in backward, but for the first, which has none.

    Pairs are fc1 with fc2 (8 x 256 x 4 forward), fc3 with fc4 (8 x 10 x 4 forward,
    8 x 256 x 4 backward).
    """
    first, second = 8 * 256 * 4, 8 * 10 * 4 + 8 * 256 * 4
    both = sent(dense())["all-reduce", "tensor"]
    assert first + second == both
    fewer = sent(dense({"match": "fc[12]", "tensor": 1}))["all-reduce", "tensor"]
    assert second == fewer
    none = sent(dense({"match": "fc*", "tensor": 1}))
    assert ("all-reduce", "tensor") not in none


def test_a_whole_layer_has_all_its_weights_on_every_rank():
    def parameters(plan):
        return simulate(plan).memory.weights / 4

    pair = 64 * 128 + 128 + 128 * 256 + 256
    divided = (64 * 128 + 128 + 128 * 256) / 2 + 256
    whole = parameters(dense({"match": "fc[12]", "tensor": 1}))
    assert pair - divided == whole - parameters(dense())


def test_layers_whole_or_not_need_the_same_flop_of_a_sample():
    plans = dense(), dense({"match": "fc*", "tensor": 1})
    one, other = (plan.build_model().forward_flop() for plan in plans)
    assert one == other


def test_a_whole_pair_is_computed_by_every_tensor_rank():
    divided, whole = simulate(dense()), simulate(dense({"match": "fc*", "tensor": 1}))
    alone = simulate(dense(tensor=1))
    assert whole.breakdown.compute_s == alone.breakdown.compute_s
    assert whole.breakdown.exposed_communication_s < (
        divided.breakdown.exposed_communication_s
    )


@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_engines_agree_on_whole_layers(engine):
    plan = dense({"match": "fc[12]", "tensor": 1})
    folded = simulate(plan, engine=engine)
    unfolded = simulate(plan, engine="event", is_folded=False)
    assert unfolded.step_time_s == pytest.approx(folded.step_time_s, rel=1e-9)
    assert unfolded.ledger == folded.ledger
