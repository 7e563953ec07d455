"""A forward and a backward as one: on paper, in both engines, and by law."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run
from simulator.api import simulate as predict
from simulator.batch import predict_batch
from simulator.batch.all_splits import all_splits
from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.job import prepare
from simulator.lowering.emitter import Emitter
from simulator.lowering.paired import Strand, emit_pair
from simulator.lowering.schedules.actions import Action
from simulator.lowering.turns import Cutter
from simulator.plan import Plan
from simulator.results.messages import step_messages
from simulator.results.metrics import breakdown, ledger
from simulator.workload import Measured, Message, Role, Workload
from tests.laws.small_plans import slowed_profile
from tests.laws.spread_plans import EXPERTS, spread
from tests.oracles.reference import simulate

ENGINES = pytest.mark.parametrize("engine", [longest_path, simulate_events])
ROUNDING = 1e-9  # sums in another order
HOSTS = ("host_forward", "host_backward", "host_message", "host_pass", "host_step")
times = st.floats(0.01, 10.0)


def kernels(time):
    return Measured("kernels", time)


def message(time):
    return Message("message", "all-to-all", "expert", 1.0, time=time)


def pair(forward, backward):
    """The ops of two passes as one, and their prices.

    Args:
        forward: kernels and messages in turn.
        backward: the same, as parts of layers.
    """
    cutters = Cutter("forward"), Cutter("backward")
    cutters[0].add(forward)
    cutters[1].add_gradients(backward)
    emitter = Emitter()
    strands = (
        Strand(Action(0, kind, number), (), cutter.finish())
        for number, (kind, cutter) in enumerate(zip("FB", cutters, strict=True))
    )
    through = list(emit_pair(emitter, 0, *strands, waits=False))
    workload = Workload((Role(0, 0, 0, 1),), emitter.resolve())
    pricer = prepare(spread()).pricer
    prices = {op.body: pricer.body(op.body) for op in workload.ops}
    return workload, prices, through


@ENGINES
@pytest.mark.parametrize(("slowdown", "end"), [(0.0, 9.0), (1.0, 11.5)])
def test_two_kernels_and_a_message_each_on_paper(engine, slowdown, end):
    """Forward: 2 s, a message of 3 s, 2 s. Backward: 1 s, a message of 2 s, 4 s.

    One after the other they take 14 s. In turns:

        compute    B 0-1 | F 1-3 | B 3-7 | F 7-9
        exchange         | B 1-3 | F 3-6 |

    Where a message halves the rate of kernels: F does 1 s of its 2 s by 3, where the
    backward's message ends, and is through at 4. The forward's message runs from there
    to 7; the backward does 1.5 s of its 4 s by then, and is through at 9.5; F ends at
    11.5.
    """
    forward = [kernels(2.0), message(3.0), kernels(2.0)]
    backward = [((kernels(1.0), message(2.0), kernels(4.0)), ())]
    workload, prices, through = pair(forward, backward)
    assert end == max(engine(build_graph(workload, prices, slowdown)).end)
    assert [action.kind for action in through] == ["B", "F"]


@ENGINES
def test_gradients_of_weights_run_beside_the_next_message_of_their_pass(engine):
    """Backward: 1 s of inputs and 2 s of weights, then a message of 5 s; forward: 4 s.

    The message leaves at 1; weights run from 1 to 3, the forward from 3 to 7, and the
    end of the backward, which takes 1 s, from 7.
    """
    layers = [((kernels(1.0),), (kernels(2.0),)), ((message(5.0), kernels(1.0)), ())]
    workload, prices, _ = pair([kernels(4.0)], layers)
    answer = engine(build_graph(workload, prices))
    spans = {op.name: end for op, end in zip(workload.ops, answer.end, strict=True)}
    assert spans == {"0F0": 7.0, "0B1": 8.0, "message of 0B1": 6.0}


def test_what_was_gathered_is_there_before_gradients_of_weights():
    gathered = Message("rows", "all-gather", "tensor", 1.0, time=5.0)
    layers = [((gathered,), (kernels(2.0),)), ((message(1.0),), ())]
    workload, prices, _ = pair([kernels(1.0)], layers)
    assert max(longest_path(build_graph(workload, prices)).end) == 7.0


@given(
    st.lists(st.tuples(times, times), max_size=5),
    st.lists(st.tuples(times, times, times), max_size=5),
)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_pair_is_never_slower_than_its_passes_in_a_row(forward, backward):
    """The first op that is not through has all before it: something always runs."""
    ahead = [one for c, m in forward for one in (kernels(c), message(m))]
    behind = [((kernels(c), message(m)), (kernels(w),)) for c, m, w in backward]
    workload, prices, _ = pair(ahead, behind)
    graph = build_graph(workload, prices)
    end = longest_path(graph).end
    assert pytest.approx(end) == simulate(workload, prices)
    assert pytest.approx(end) == simulate_events(graph).end
    computing = sum(c for c, _ in forward) + sum(c + w for c, _, w in backward)
    sending = sum(m for _, m in forward) + sum(m for _, m, _ in backward)
    in_a_row = sum(c + m for c, m in forward), sum(c + m for c, m, _ in backward)
    assert max(end) <= (computing + sending) * (1 + ROUNDING)
    assert max(end) >= max(computing, *in_a_row) * (1 - ROUNDING)


def both(choices, **constants):
    """The jobs of a plan whose passes run as one, and one after the other."""
    jobs = []
    for is_paired in (True, False):
        own = spread(**choices).replace({"parallelism.overlap_passes": is_paired})
        jobs.append(prepare(own, profile=slowed_profile(own, **constants)))
    return jobs


@st.composite
def mixtures(draw):
    """Choices of small plans with pairs, most with messages in their passes."""
    schedule = draw(st.sampled_from(["dualpipe", "interleaved"]))
    chunks = 2 if schedule == "interleaved" else 1
    pipeline, tensor = draw(st.sampled_from([2, 4])), draw(st.sampled_from([1, 2]))
    expert = draw(st.sampled_from([1, 2]))
    return {
        "schedule": schedule,
        "chunks": chunks,
        "pipeline": pipeline,
        "tensor": tensor,
        "expert": expert,
        "context": draw(st.sampled_from([1, 2])),
        "data": 2,
        "experts": EXPERTS,
        "microbatches": pipeline * draw(st.integers(2, 3)),
        "layers": pipeline * chunks * draw(st.integers(1, 2)),
        "hidden": draw(st.sampled_from([64, 1024])),
        "sequence": tensor > 1 and draw(st.booleans()),
        "overlap_tensor": tensor > 1 and draw(st.booleans()),
        "overlap": draw(st.booleans()),
        "recompute": draw(st.sampled_from(["none", "full"])),
    }


@given(mixtures())
@settings(derandomize=True, deadline=None, max_examples=12)
def test_pairs_send_and_compute_the_same(choices):
    jobs = both(choices)
    degrees = jobs[0].plan.parallelism.degrees
    sent = [ledger(job.workload, degrees) for job in jobs]
    assert sent[0] == sent[1]
    computed = [breakdown(run(job, "analytical")).compute_s for job in jobs]
    assert computed[0] == pytest.approx(computed[1], rel=ROUNDING)


@given(mixtures(), st.sampled_from([0.0, 0.3]))
@settings(derandomize=True, deadline=None, max_examples=10)
def test_engines_agree_on_pairs(choices, slowdown):
    job, _ = both(choices, slowdown=slowdown)
    one, other = run(job, "analytical"), run(job, "event")
    assert other.step_time == pytest.approx(one.step_time, rel=ROUNDING)


@given(mixtures())
@settings(derandomize=True, deadline=None, max_examples=5)
def test_folding_changes_nothing_in_pairs(choices):
    folded, _ = both(choices)
    whole = prepare(folded.plan, is_folded=False, profile=folded.profile)
    one, other = run(folded, "analytical"), run(whole, "analytical")
    assert other.step_time == pytest.approx(one.step_time, rel=ROUNDING)


def test_without_messages_nothing_changes():
    choices = {"schedule": "dualpipe", "pipeline": 4, "microbatches": 10, "data": 2}
    jobs = both(choices | {"layers": 8})
    one, other = (run(job, "event") for job in jobs)
    assert [span[2:] for span in one.spans] == [span[2:] for span in other.spans]


@pytest.mark.parametrize("schedule", ["dualpipe", "interleaved"])
@pytest.mark.parametrize("zero", [0, 1])
def test_pairs_hide_most_of_what_they_send(schedule, zero):
    """Messages take a seventh of what kernels do, and no host is in the way.

    What stays in sight is of first forwards and last backwards, and what follows them.
    """
    choices = {
        "schedule": schedule,
        "chunks": 2 if schedule == "interleaved" else 1,
        "pipeline": 2,
        "data": 2,
        "expert": 2,
        "experts": EXPERTS,
        "hidden": 2048,
        "length": 1024,
        "microbatches": 20,
        "layers": 8,
        "model": {"expert_feed_forward": 2048},
    }
    jobs = [
        prepare(job.plan.replace({"parallelism.zero": zero}), profile=job.profile)
        for job in both(choices, **dict.fromkeys(HOSTS, 0.0))
    ]
    exposed = [breakdown(run(job, "event")).exposed_communication_s for job in jobs]
    assert exposed[0] < 0.5 * exposed[1]
    steps = [run(job, "event").step_time for job in jobs]
    assert steps[0] < steps[1]


def test_where_nothing_is_to_hide_the_first_pairs_make_a_larger_bubble():
    """A pass of a pair is sent on when it is through, behind turns of the other.

    If its messages take no time, that gains nothing, and the bubble of DualPipe is up
    to (p / 2 - 1) I larger: (p / 2 - 1) (F&B + B - 3 W) with F&B = F + B, against
    (p / 2 - 1) (F + max(F, B) - 2 W) where the two run one after the other.
    """
    choices = {"schedule": "dualpipe", "pipeline": 4, "tensor": 2, "microbatches": 12}
    choices |= {"layers": 8, "hidden": 2048, "length": 512}
    jobs = both(choices, **dict.fromkeys(HOSTS, 0.0))
    ends = []
    for job in jobs:
        prices = {
            body: replace(price, busy=price.compute, issued=price.compute)
            for body, price in job.prices.items()
        }
        ends.append(max(longest_path(build_graph(job.workload, prices)).end))
    inputs = max(float(job.pricer.body(low.bodies["I"]).compute) for low in job.stages)
    assert ends[1] < ends[0] <= ends[1] + inputs


def test_a_mixture_takes_turns_as_in_the_source():
    """Megatron-LM: combine_bwd, dispatch_fwd, dispatch_bwd, combine_fwd by layer."""
    job, _ = both(
        {
            "schedule": "dualpipe",
            "pipeline": 2,
            "data": 2,
            "expert": 2,
            "experts": EXPERTS,
            "microbatches": 4,
            "layers": 2,
        }
    )
    sent = [
        op.name
        for op in job.workload.ops
        if op.stream == "exchange" and op.ranks == (0,)
    ]
    words = ["combine", "dispatch", "dispatch", "combine"]
    assert words == [name.split()[0] for name in sent[:4]]
    forward, backward = sent[1].split()[-1], sent[0].split()[-1]
    assert ("F" in forward, "B" in backward) == (True, True)
    assert [backward, forward, backward, forward] == [n.split()[-1] for n in sent[:4]]


def test_passes_that_gather_between_their_layers_run_one_after_the_other():
    choices = {"schedule": "interleaved", "chunks": 2, "pipeline": 2, "data": 2}
    choices |= {"tensor": 2, "microbatches": 6, "layers": 8}
    job, _ = both(choices)
    assert any(op.stream == "exchange" for op in job.workload.ops)
    own = job.plan.replace({"parallelism.zero": 3})
    workload = prepare(own).workload
    assert not any(op.stream == "exchange" for op in workload.ops)


def test_arrays_of_plans_have_no_pairs():
    plain = spread(schedule="interleaved", chunks=2, pipeline=2, microbatches=4)
    own = plain.replace({"parallelism.overlap_passes": True})
    with pytest.raises(ValueError, match="overlap_passes"):
        predict_batch(own, all_splits(own))


DEEPSEEK = {
    "model": {"name": "deepseek-v3"},
    "batch": {"global": 7680, "micro": 1},
    "parallelism": {
        "pipeline": 16,
        "expert": 64,
        "expert_neighbours": 8,
        "expert_nodes": 4,
        "zero": 1,
        "schedule": "dualpipe",
        "balance": "time",
    },
    "training": {"precision": "fp8", "dispatch_precision": "fp8"},
    "cluster": {
        "device": "h800-sxm5-80gb",
        "nodes": 128,
        "devices_per_node": 8,
        "fabric": "nvlink-4-h800",
        "network": {"link": "infiniband-ndr", "adapters_per_node": 8},
    },
}


def test_deepseek_v3_hides_four_fifths_of_its_all_to_alls():
    """On 1,024 devices: a check of the figures in DESIGN, which nothing was fitted to.

    Published are 180,000 device hours for a trillion tokens (arXiv:2412.19437, table
    1), 1,543 tokens a second and device.
    """
    exposed, speeds = [], []
    for is_paired in (True, False):
        given_plan = Plan.from_mapping(DEEPSEEK).replace(
            {"parallelism.overlap_passes": is_paired}
        )
        result = predict(given_plan, engine="analytical")
        rows, _ = step_messages(result.job, result.timeline)
        both_ways = [row for row in rows if row.kind.op == "all-to-all"]
        exposed.append(sum(row.exposed_s for row in both_ways))
        assert sum(row.alone_s for row in both_ways) == pytest.approx(8.78, rel=0.01)
        speeds.append(result.tokens_per_s / given_plan.world_size)
    assert exposed == pytest.approx([1.58, 8.78], rel=0.01)
    assert speeds == pytest.approx([1570, 1179], rel=0.01)
