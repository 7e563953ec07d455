"""Where recomputation stops: once all that backward reads is there again.

torch counts what the forward of a block keeps, and ends the second forward when as much
is there. A product keeps its factors before it multiplies. So a block's last product is
not computed again, nor is what comes after it and keeps nothing: the residual sum, and
what tensor ranks send of the product's result. A dropout keeps its mask, and all before
it is computed again.

For a GPT block without dropout, of the 24 s h² FLOP of products with weights 16 s h²
are repeated.

Limits: an element-wise operator at the end is repeated, also where torch would stop
inside it; experts whose rows go back to other devices are repeated whole.

Source: pytorch/pytorch, pull requests 90105 and 96866 (in torch since 2.1, for
checkpoints that are not reentrant); the operators, what torch 2.13 executes
(`tests/torch/test_recomputed_flop.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from models.mixture import ExpertLinear, TokenExchange
from models.operators import BatchedProduct, Convolution, Linear, Operator
from models.work import Share
from simulator.plan import Plan

_ONE = Share(samples=1)


def stops(plan: Plan) -> bool:
    """Return whether a plan's recomputation stops where nothing more is read.

    Left open, it does under torch's own rules; not where stages are computed again
    early, nor weight by weight, since neither GPipe nor DeepSpeed does so.
    """
    mesh = plan.parallelism
    if mesh.recompute_stops is not None:
        return mesh.recompute_stops
    is_plain = mesh.gather == "layer" and not mesh.recompute_early
    return is_plain and plan.training.framework == "torch"


def read_again(operators: Sequence[Operator]) -> Sequence[Operator]:
    """Return those of a block's operators that are computed again, in forward order."""
    end = len(operators)
    while end and _keeps_nothing(operators[end - 1]):
        end -= 1
    return operators[: end - 1 if end and _is_product(operators[end - 1]) else end]


def _is_product(operator: Operator) -> bool:
    """Return whether all that an operator keeps is what it multiplies."""
    return isinstance(operator, BatchedProduct | Convolution | ExpertLinear | Linear)


def _keeps_nothing(operator: Operator) -> bool:
    """Return whether no backward reads anything of an operator.

    A product whose input another operator keeps counts as keeping it, as torch does.
    """
    if isinstance(operator, TokenExchange) or _is_product(operator):
        return False
    return not operator.saved_bytes(_ONE)
