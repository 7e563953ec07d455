"""Whether the routes that a run takes are balanced on every rank, as it needs them.

Copy j of token i goes to expert (i k + j) mod E. A rank that has some tokens of every
sample sends as many rows to each expert only if their places come out even.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from models.functions import Routing
from models.model import Model
from models.operators import Elementwise
from simulator.plan import Plan


def is_balanced(plan: Plan) -> bool:
    """Return whether every rank has as many rows for each expert."""
    model = plan.build_model()
    routings = {
        operator.function
        for layer in model.layers
        for operator in layer.operators
        if isinstance(operator, Elementwise) and isinstance(operator.function, Routing)
    }
    return all(_is_even(own, each) for each in routings for own in _places(plan, model))


def _places(plan: Plan, model: Model) -> Iterator[list[int]]:
    """Yield the places in a sample of each rank's tokens."""
    mesh = plan.parallelism
    tokens, context = model.tokens_per_sample, mesh.context
    is_causal = mesh.context_balanced and model.attention == "causal"
    pieces = 2 * context if context > 1 and is_causal else context
    length = tokens // pieces
    cut = [list(range(n * length, (n + 1) * length)) for n in range(pieces)]
    parts = mesh.tensor if mesh.sequence else 1
    for rank in range(context):
        own = cut[rank] + (cut[-1 - rank] if pieces > context else [])
        for part in range(parts):
            yield own[part * len(own) // parts : (part + 1) * len(own) // parts]


def _is_even(places: list[int], routing: Routing) -> bool:
    rows = Counter(
        (place * routing.top_k + copy) % routing.experts
        for place in places
        for copy in range(routing.top_k)
    )
    return len(rows) == routing.experts and len(set(rows.values())) == 1
