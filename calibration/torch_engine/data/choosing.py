"""Which samples does a run read, and in which order?

All samples of an epoch come once, in an order that the seed and the epoch alone decide;
what does not fill a batch is left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from calibration.torch_engine.data.faults import data_fault
from calibration.torch_engine.data.folders import Folders
from calibration.torch_engine.data.tokens import Tokens, least_tokens
from models.model import Model
from models.operators import Embedding
from models.samples import first_operator, loss_kind, rows_and_classes, sample_shape
from simulator.errors import PlanError
from topologies.units import Count

Samples = Tokens | Folders
"""Samples of a run; `inputs` and `targets` read those at some places of its order."""


def samples_of(
    path: Path, model: Model, batch: Count, steps: Count, seed: int
) -> Samples:
    """Return the samples that a run reads.

    Args:
        path: of a file of tokens, or of a folder with a folder a class.
        model: that learns from them.
        batch: samples of a step [1].
        steps: of the run [1].
        seed: of the order.

    Raises:
        PlanError: these data are not for this model, or something is wrong with them.
    """
    found = _all_samples(path, model)
    first = list(found.faults()) if isinstance(found, Tokens) else []
    if first:
        raise PlanError(first)
    if found.count < batch:
        problem = f"{path} has {found.count} samples, and a batch {batch}"
        if isinstance(found, Tokens):
            least = least_tokens(found.length, batch)
            problem += f" of {found.length} tokens: at least {least} tokens"
        raise PlanError([data_fault(problem, "give more, or lower batch.global")])
    order = _order(found.count, int(batch), int(steps), seed)
    chosen: Samples
    if isinstance(found, Tokens):
        chosen = replace(found, chosen=tuple(order))
    else:
        chosen = replace(found, files=tuple(found.files[each] for each in order))
    faults = list(chosen.faults())
    if faults:
        raise PlanError(faults)
    return chosen


def _all_samples(path: Path, model: Model) -> Samples:
    """Return all samples of a path.

    Raises:
        PlanError: there are none, or they are not for this model.
    """
    rows, classes = rows_and_classes(model) if loss_kind(model) else (0, 0)
    shape = sample_shape(model)
    first = first_operator(model)
    is_plain = loss_kind(model) in {"cross entropy", "distance"}
    is_plain = is_plain and not model.layers[-1].leaves
    is_language = isinstance(first, Embedding) and model.attention == "causal"
    if not is_plain or not (is_language or (rows == 1 and shape)):
        problem = f"nothing on disk is read for {model.name}"
        remedy = "leave --data out: its samples are random numbers"
        raise PlanError([data_fault(problem, remedy)])
    if not path.exists():
        problem = f"there is no {path}"
        raise PlanError([data_fault(problem, "give a file or a folder")])
    if is_language != path.is_file():
        kind = "one file of tokens" if is_language else "a folder with a folder a class"
        problem = f"{path} is a {'folder' if path.is_dir() else 'file'}"
        raise PlanError([data_fault(problem, f"{model.name} learns from {kind}")])
    if isinstance(first, Embedding):
        length = model.tokens_per_sample
        return Tokens(path=path, length=length, vocabulary=first.entries)
    assert shape is not None, "it was asked for"
    return Folders.of(path, shape, classes)


def _order(count: int, batch: int, steps: int, seed: int) -> list[int]:
    """Return the numbers of the samples of all steps."""
    whole = count // batch
    order: list[int] = []
    for epoch in range(-(-steps // whole)):
        shuffled = np.random.default_rng((seed, epoch)).permutation(count)
        order += shuffled[: whole * batch].tolist()
    return order[: steps * batch]
