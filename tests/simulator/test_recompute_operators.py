"""Recomputation operator by operator, by hand.

A Llama block as in `spread_plans`: h = 64 features, of which 4 of 8 heads have keys and
values of their own (g = 32), f = 96 inner ones. Products in order: queries, keys,
values, projection, gate, up, down; every second one is computed again.
"""

import pytest

from calibration.scoring.predictions import predict_training
from models.work import Share
from simulator.job import prepare
from simulator.lowering.keeping import repeated_operators
from simulator.lowering.kept import kept_bytes
from simulator.memory.peak import memory
from simulator.results.utilization import hardware_flop, model_flop
from tests.laws.spread_plans import HEAD, HEADS, KV_HEADS, WIDTH, E, H, S, sent, spread

G = KV_HEADS * HEAD
STATISTIC = 4 * HEADS * S
FLASH = {"attention": "flash"}
BLOCK = spread(model=FLASH).build_model().layers[1]


def test_a_block_keeps_every_second_product():
    """The input h, queries h, values g, attention h and its statistic, gate f, down h;
    the last no backward reads.
    """
    kept = E * S * (H + H + G + H + WIDTH + H) + STATISTIC
    assert kept_bytes(BLOCK, Share(samples=1), "operators") == kept
    compiled = kept_bytes(BLOCK, Share(samples=1), "compiled-operators")
    assert compiled == kept - E * S * H


def test_tensor_ranks_keep_partial_sums_and_what_was_scattered():
    """t = 4: queries, values, attention and gate are divided, the input too; the down
    product is a partial sum of all tokens, of which the scattered sum is kept as well,
    as is that of the projection.
    """
    t = 4
    share = Share(samples=1, tensor=t, sequence=t)
    divided = E * S * (H + H + G + H + WIDTH) + STATISTIC
    expected = divided / t + E * S * H + 2 * E * S * H / t
    assert kept_bytes(BLOCK, share, "operators") == expected


def test_keys_projection_and_up_are_computed_again():
    share = Share(samples=1)
    products = [op for op, _ in repeated_operators(BLOCK, share) if op.parameters > H]
    assert [op.columns for op in products] == [G, H, WIDTH]
    assert sum(w.flop for op in products for w in op.forward(share)) == 2 * S * (
        H * G + H * H + H * WIDTH
    )


@pytest.mark.parametrize("recompute", ["operators", "compiled-operators"])
def test_flop_and_time_count_what_is_repeated(recompute):
    plan = spread(model=FLASH, layers=2, recompute=recompute)
    again = 2 * S * (H * G + H * H + H * WIDTH)
    job = prepare(plan)
    samples = plan.batch.global_
    assert hardware_flop(job) == model_flop(job) + samples * 2 * again
    times = [
        predict_training(spread(model=FLASH, layers=2, recompute=each)).step_time_s
        for each in ("none", recompute, "full")
    ]
    assert times == sorted(times)


def test_nothing_is_sent_again_under_sequence_parallelism():
    plain = spread(model=FLASH, tensor=2, sequence=True)
    kept = spread(model=FLASH, tensor=2, sequence=True, recompute="operators")
    assert sent(kept) == sent(plain)


def test_memory_is_between_that_of_none_and_full():
    held = [
        memory(prepare(spread(model=FLASH, layers=8, recompute=each)))[0].total
        for each in ("full", "compiled-operators", "operators", "none")
    ]
    assert held == sorted(held)
