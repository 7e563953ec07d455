"""Small transformers whose tokens and experts are spread over devices."""

from hypothesis import strategies as st

from simulator.job import prepare
from simulator.plan import Plan
from simulator.results.metrics import ledger
from tests.laws.small_plans import REMATERIALIZE, table

# tokens, features, entries; heads, key-value heads; features of a feed-forward part
S, H, V = 32, 64, 128
HEADS, KV_HEADS, HEAD = 8, 4, 8
WIDTH = 96
E = G = 2  # bytes of an activation and of a gradient, fp16
EXPERTS = {"experts": 8, "top_k": 2, "expert_feed_forward": 96}


def spread(
    *,
    context=1,
    expert=1,
    method="ring",
    balanced=True,
    imbalance=1.0,
    whole=False,
    experts=None,
    model=None,
    **choices,
):
    """A small Llama; other choices as for `table`.

    Args:
        context: devices that divide the tokens.
        expert: devices that divide the experts.
        method: how keys and values meet.
        balanced: whether pieces are from either end.
        imbalance: of the fullest expert rank.
        whole: whether tensor ranks have experts of their own.
        experts: of a mixture; its keys of the model.
        model: further keys of it.
        choices: as for `table`.
    """
    world = context
    for axis in ("tensor", "data", "pipeline"):
        world *= choices.get(axis, 1)
    per_node = choices.pop("per_node", world)
    tables = table(**choices)
    tables["model"] |= {"family": "llama", "feed_forward": WIDTH, "kv_heads": KV_HEADS}
    tables["model"] |= (experts or {}) | (model or {})
    tables["parallelism"] |= {
        "context": context,
        "expert": expert,
        "context_method": method,
        "context_balanced": balanced,
        "expert_imbalance": imbalance,
    }
    if whole:
        tables["parallelism"]["expert_tensor"] = 1
    tables["cluster"] |= {"nodes": world // per_node, "devices_per_node": per_node}
    return Plan.from_mapping(tables)


def sent(plan, **preparing):
    """The ledger as {(pattern, axis): (bytes, count)}."""
    rows = ledger(prepare(plan, **preparing).workload, plan.parallelism.degrees)
    return {(row.op, row.axis): (row.bytes, row.count) for row in rows}


@st.composite
def spread_plans(draw, max_degree=3):
    """Plans with context and expert parallelism beside all other axes."""
    tensor, pipeline = draw(st.sampled_from([1, 2])), draw(st.integers(1, max_degree))
    data, context = draw(st.integers(1, max_degree)), draw(st.sampled_from([1, 2, 4]))
    replicas = data * context
    has_experts = draw(st.booleans())
    fitting = [e for e in (1, 2, 4, 8) if replicas % e == 0 and has_experts]
    several = ["zb-h1", "zb-auto"] if pipeline > 1 else []
    expert = draw(st.sampled_from(fitting or [1]))
    world = tensor * pipeline * replicas
    divisors = [n for n in range(1, world + 1) if world % n == 0]
    imbalance = draw(st.sampled_from([1.0, 1.5])) if expert > 1 else 1.0
    sequence = tensor > 1 and draw(st.booleans())
    can_be_whole = sequence and expert > 1 and expert % tensor == 0
    return spread(
        context=context,
        expert=expert,
        method=draw(st.sampled_from(["ring", "all-gather"])),
        balanced=draw(st.booleans()),
        imbalance=imbalance,
        whole=can_be_whole and draw(st.booleans()),
        experts=EXPERTS if has_experts else None,
        tensor=tensor,
        pipeline=pipeline,
        data=data,
        schedule=draw(st.sampled_from(["gpipe", "1f1b", *several])),
        microbatches=draw(st.integers(1, 4)),
        layers=pipeline * draw(st.integers(1, 2)),
        hidden=draw(st.sampled_from([64, 512])),
        sequence=sequence,
        overlap=draw(st.booleans()),
        overlap_tensor=tensor > 1 and draw(st.booleans()),
        recompute=draw(st.sampled_from(REMATERIALIZE[::2])),
        per_node=draw(st.sampled_from(divisors)),
    )
