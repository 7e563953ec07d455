"""The plan's optimizer in torch, with the rates that all runs learn with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from simulator.plan import Plan

_RATE = 0.05  # of learning; small, so that a few steps of any small network are stable

Kind = tuple[type[torch.optim.Optimizer], dict[str, Any]]


def make_optimizer(plan: Plan, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the plan's optimizer."""
    kind, settings = optimizer_kind(plan)
    return kind(parameters, **settings)


def optimizer_kind(plan: Plan) -> Kind:
    """Return the class of the plan's optimizer, and its settings."""
    match plan.training.optimizer:
        case "adam":
            return torch.optim.Adam, {"lr": _RATE / 10}
        case "adagrad":
            return torch.optim.Adagrad, {"lr": _RATE / 10}
        case "momentum":
            return torch.optim.SGD, {"lr": _RATE, "momentum": 0.9}
        case "sgd":
            return torch.optim.SGD, {"lr": _RATE}
        case "lbfgs":
            history = plan.training.history
            settings = {"lr": _RATE, "max_iter": 1, "history_size": history}
            return GradientLbfgs, settings


class GradientLbfgs(torch.optim.LBFGS):
    """L-BFGS by the gradients that are there: of the loss it makes nothing."""

    @override
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Change parameters once."""
        return super().step(closure or _unknown)


def _unknown() -> float:
    return 0.0
