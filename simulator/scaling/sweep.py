"""`scale(plan, over) -> Scaling`: predict every combination of some keys' values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from simulator.api import simulate
from simulator.engines.graph import DeadlockError
from simulator.errors import Fault, PlanError, RehearsalError
from simulator.plan import Plan
from simulator.plans.hints import unknown_path
from simulator.plans.records import plan_keys
from simulator.plans.sharding_checks import left_out
from simulator.progress import Progress
from simulator.results.result import Engine
from simulator.scaling.curve import Scaling
from simulator.scaling.points import Point, PointStatus, described, measures_of

_ZERO = "parallelism.zero"
_DATA, _BATCH = "parallelism.data", "batch.global"
_MACHINE = ("cluster.nodes", "cluster.devices_per_node")
_REPLICA = ("parallelism.tensor", "parallelism.pipeline")


def scale(
    plan: Plan,
    over: Mapping[str, Sequence[Any]],
    engine: Engine = "analytical",
    *,
    weak: bool = False,
) -> Scaling:
    """Return predictions of `plan` at every combination of the values in `over`.

    Strong scaling keeps the global batch; `weak` keeps the plan's samples per device,
    so that the batch grows with the cluster. Where the number of replicas has to
    follow the keys that vary, a `parallelism.data` in the plan is left out, and where
    `parallelism.zero` varies, what says nothing at a value of it. A point
    that makes no valid plan stays in the table, with the reason. An interruption from
    the keyboard ends the sweep and keeps what is finished; `is_interrupted` says so.

    Args:
        plan: where the other values come from.
        over: dotted keys and the values to try; the last key varies fastest.
        engine: as for `simulate`.
        weak: let the batch grow with the devices.

    Raises:
        PlanError: a key that a plan does not have, or one without values.

    >>> scale(plan, {"cluster.nodes": [8, 16, 32]})  # doctest: +SKIP
    """
    if faults := list(_faults(over, weak=weak)):
        raise PlanError(faults, "the request")
    keys = tuple(over)
    settings = [dict(zip(keys, row, strict=True)) for row in product(*over.values())]
    extra, notes = _adjustments(plan, keys, weak=weak)
    notes += _idle_notes(plan, settings)
    points: list[Point] = []
    is_interrupted = False
    with Progress("scaling", len(settings)) as progress:
        try:
            for done, setting in enumerate(settings):
                progress.show(done, described(setting))
                points.append(_point(plan, setting, extra, engine, weak=weak))
        except KeyboardInterrupt:
            is_interrupted = True
            notes.append(f"interrupted after {len(points)} of {len(settings)} points")
    return Scaling(
        plan=plan,
        keys=keys,
        engine=engine,
        is_weak=weak,
        notes=tuple(notes),
        points=tuple(points),
        is_interrupted=is_interrupted,
    )


def _faults(over: Mapping[str, Sequence[Any]], *, weak: bool) -> Iterator[Fault]:
    """Yield what is wrong with the request as a whole."""
    if not over:
        yield Fault("over", "names no key", 'write {"cluster.nodes": [8, 16]}')
    for key, values in over.items():
        if key not in plan_keys():
            yield unknown_path(key)
        elif isinstance(values, str) or not isinstance(values, Sequence):
            yield Fault(key, f"takes a list of values, got {values!r}")
        elif not values:
            yield Fault(key, "has no values")
    if weak and _BATCH in over:
        problem = "weak scaling works the batch out itself"
        yield Fault(_BATCH, problem, "leave one of the two out")


def _adjustments(
    plan: Plan, keys: tuple[str, ...], *, weak: bool
) -> tuple[dict[str, Any], list[str]]:
    """Return what else changes at every point, and the notes that say so."""
    notes = []
    extra: dict[str, Any] = {}
    has_other_replicas = not {*_MACHINE, *_REPLICA}.isdisjoint(keys)
    has_other_size = not set(_MACHINE).isdisjoint(keys)
    if _DATA not in keys and has_other_replicas:
        if "data" in plan.parallelism.model_fields_set:
            extra[_DATA] = None
            notes.append(
                f"{_DATA} = {plan.parallelism.data} of the plan is left out: "
                "it follows from the devices"
            )
        else:
            notes.append(f"{_DATA} follows from the devices")
    if _DATA in keys and not has_other_size:
        notes.append(
            f"the cluster keeps its {plan.world_size} devices, which {_DATA} has to "
            "fit; to vary their number, vary cluster.nodes"
        )
    if weak:
        each = Fraction(plan.batch.global_, plan.world_size)
        notes.append(f"weak scaling: {_BATCH} is {each} per device, as in the plan")
        if not has_other_size:
            notes.append("no key changes the devices, so the batch stays as it is")
    elif has_other_size and _BATCH not in keys:
        notes.append(f"strong scaling: {_BATCH} = {plan.batch.global_} at every point")
    return extra, notes


def _without_idle(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes that leave out what says nothing at a point's zero."""
    zero = settings.get(_ZERO)
    if not isinstance(zero, int) or isinstance(zero, bool):
        return {}
    changes = left_out(plan.parallelism, zero)
    return {key: value for key, value in changes.items() if key not in settings}


def _idle_notes(plan: Plan, settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return which keys are left out at which zero, a line each."""
    where: dict[str, dict[str, None]] = {}
    for setting in settings:
        for key in _without_idle(plan, setting):
            where.setdefault(key, {})[str(setting[_ZERO])] = None
    return [
        f"{key} of the plan is left out, as far as it says nothing, where "
        f"zero = {', '.join(values)}"
        for key, values in where.items()
    ]


def _point(
    plan: Plan,
    settings: Mapping[str, Any],
    extra: Mapping[str, Any],
    engine: Engine,
    *,
    weak: bool,
) -> Point:
    devices = _num_devices(plan, settings)
    changes = {**extra, **_without_idle(plan, settings), **settings}
    if weak and devices is not None:
        batch = Fraction(plan.batch.global_ * devices, plan.world_size)
        if batch.denominator != 1:
            each = Fraction(plan.batch.global_, plan.world_size)
            reason = f"{_BATCH}: {each} samples per device x {devices} is not whole"
            return Point(
                settings=settings,
                devices=devices,
                plan=None,
                status="invalid",
                reason=reason,
            )
        changes[_BATCH] = int(batch)
    changed = None
    measures = None
    reason = ""
    try:
        changed = plan.replace(changes)
        result = simulate(changed, engine=engine)
        status: PointStatus = result.status
        measures = measures_of(result)
    except PlanError as error:
        status, reason = "invalid", " | ".join(_said(f) for f in error.faults)
    except DeadlockError as error:
        status, reason = "deadlock", str(error)
    except RehearsalError as error:
        status, reason = "infeasible", " ".join(str(error).split())
    return Point(
        settings=settings,
        devices=devices,
        plan=changed,
        status=status,
        reason=reason,
        measures=measures,
    )


def _num_devices(plan: Plan, settings: Mapping[str, Any]) -> int | None:
    """Return nodes x devices per node at a point, None if they are no degrees."""
    cluster = plan.cluster
    nodes = settings.get(_MACHINE[0], cluster.nodes)
    each = settings.get(_MACHINE[1], cluster.devices_per_node)
    if not (isinstance(nodes, int) and isinstance(each, int)):
        return None
    return nodes * each if min(nodes, each) > 0 else None


def _said(fault: Fault) -> str:
    """Return a fault without the request that brought it: the row shows it."""
    remedy = f"; {fault.remedy}" if fault.remedy else ""
    return f"{fault.key}: {fault.problem}{remedy}"
