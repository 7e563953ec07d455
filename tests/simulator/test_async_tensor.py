"""Asynchronous tensor parallelism: products chunk by chunk beside their collectives."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.operators import Linear, Split
from models.work import Share, Work
from simulator.api import run, simulate
from simulator.batch import Splits, predict_batch
from simulator.job import prepare
from simulator.lowering.decomposed import gathered_in_chunks, scattered_in_chunks
from simulator.lowering.passes import layer_passes
from simulator.lowering.ways import Ways
from simulator.plan import Plan
from simulator.workload import Beside, Message, flatten
from tests.laws.small_plans import networked, plan, table

BLOCK = plan().build_model().layers[1]
SHARE = Share(samples=2, tensor=4, sequence=4)


def asynchronous(**choices):
    tables = table(**({"tensor": 4, "sequence": True} | choices))
    tables["parallelism"]["async_tensor"] = True
    return Plan.from_mapping(tables)


def leaves(items):
    """Kernels and messages of items, those side by side too."""
    for item, _ in flatten(tuple(items), "forward"):
        if isinstance(item, Beside):
            yield item.message
            yield from item.works
        else:
            yield item


def flop(items):
    return sum(leaf.flop for leaf in leaves(items) if isinstance(leaf, Work))


def messages(items):
    return [leaf for leaf in leaves(items) if isinstance(leaf, Message)]


def test_three_chunks_are_beside_the_collective_and_the_own_one_is_not():
    product = Linear("up", rows=32, inner=64, columns=256, split=Split.COLUMN)
    message = Message("up all-gather", "all-gather", "tensor", 8192.0)
    beside, own = gathered_in_chunks(message, product.forward, SHARE)
    assert (own.rows, own.columns, own.inner) == (2 * 32 / 4, 256 / 4, 64)
    (others,) = product.forward(replace(SHARE, samples=2 * 3 / 4))
    others = replace(others, launches=3)
    assert beside == Beside(message, (others,))
    own, beside, summed = scattered_in_chunks(message, product.forward, SHARE)
    assert beside == Beside(message, (others,))
    # Of the own chunk, 8192 / 4 B, four partial outputs are read and one is written.
    assert summed.size == 5 * 8192 / 4


def test_chunks_are_the_same_products_and_messages():
    plain = layer_passes(BLOCK, SHARE, "full")
    chunks = layer_passes(BLOCK, SHARE, "full", Ways(is_async=True))
    for kind in ("forward", "backward", "backward_input", "backward_weight"):
        one, other = getattr(plain, kind), getattr(chunks, kind)
        assert flop(one) == pytest.approx(flop(other), rel=1e-12)
        assert messages(one) == messages(other)


def test_a_pipeline_of_chunks_on_paper():
    # With g a chunk's product, G that of the others and m the collective,
    # g + max(m, G); G is no longer than one by one.
    job = prepare(asynchronous(hidden=2048, length=512))
    pricer = replace(
        job.pricer, profile=replace(job.profile, overlap_slowdown=0.0, host_message=0.0)
    )
    product = Linear("up", rows=512, inner=2048, columns=8192, split=Split.COLUMN)
    message = Message("up all-gather", "all-gather", "tensor", 2.0 * 512 * 2048)
    items = gathered_in_chunks(message, product.forward, Share(1, 4, 4))
    whole = pricer.message_time(message)
    one = pricer.kernel_time(items[-1])
    others = pricer.items(items[0].works, "forward").busy
    assert others <= 3 * one * (1 + 1e-12)
    expected = one + max(whole, others)
    assert pricer.items(items, "forward").busy == pytest.approx(expected, rel=1e-12)


def test_bytes_sent_do_not_change():
    choices = {"tensor": 4, "sequence": True, "hidden": 2048, "length": 512}
    plain, chunks = simulate(plan(**choices)), simulate(asynchronous(**choices))
    assert plain.ledger == chunks.ledger
    assert plain.memory == chunks.memory


def test_large_products_hide_their_collectives():
    choices = {"tensor": 4, "sequence": True, "hidden": 8192, "length": 4096}
    choices |= {"heads": 64, "vocabulary": 32768}
    plain, chunks = simulate(plan(**choices)), simulate(asynchronous(**choices))
    assert chunks.step_time_s < plain.step_time_s
    exposed = [each.breakdown.exposed_communication_s for each in (plain, chunks)]
    assert exposed[1] < exposed[0] / 2


@given(
    pipeline=st.integers(1, 3),
    schedule=st.sampled_from(["gpipe", "1f1b"]),
    recompute=st.sampled_from(["none", "selective", "full"]),
    overlap=st.booleans(),
    hidden=st.sampled_from([64, 2048]),
)
@settings(derandomize=True, deadline=None, max_examples=20)
def test_engines_agree(pipeline, schedule, recompute, overlap, hidden):
    small = asynchronous(
        pipeline=pipeline,
        data=2,
        schedule=schedule,
        recompute=recompute,
        overlap=overlap,
        hidden=hidden,
    )
    for is_folded in (True, False):
        job = prepare(small, is_folded=is_folded)
        one, other = run(job, "analytical").step_time, run(job, "event").step_time
        assert one == pytest.approx(other, rel=1e-9)


def test_chunks_run_on_a_network():
    small = networked("ring", tensor=4, sequence=True, microbatches=1)
    mesh = small.parallelism.model_copy(update={"async_tensor": True})
    job = prepare(small.model_copy(update={"parallelism": mesh}))
    one, other = run(job, "analytical").step_time, run(job, "event").step_time
    assert other >= one * (1 - 1e-9)


def test_the_batch_engine_refuses():
    column = {"tensor": 4, "pipeline": 1, "data": 1, "micro": 1, "chunks": 1}
    with pytest.raises(ValueError, match="async_tensor"):
        predict_batch(asynchronous(), Splits.of({k: [v] for k, v in column.items()}))
