"""Whole steps of many networks beside their predictions from measured kernels alone."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from calibration.machine.steps import Mode, measured_step
from calibration.machine.studied import STUDIES
from calibration.machine.study import named, plan_of
from simulator.api import simulate
from simulator.job import prepare
from simulator.plan import Plan
from topologies.profile import Profile
from topologies.units import Seconds, format_quantity

MODES: Mapping[str, tuple[Mode, ...]] = {
    "cuda": ("eager", "graph", "compiled"),
    "cpu": ("eager",),
}
_DIGITS = 4


def steps_table(
    profile: Path, device: str, study: str, end: Seconds, skipped: list[str]
) -> list[dict[str, Any]]:
    """Return a row for each network, batch, format and way to run it.

    All eager steps come first, then replayed graphs, then compiled ones: those cost
    minutes, and nothing predicts them.

    Args:
        profile: of the kernels.
        device: `cuda` or `cpu`.
        study: which networks, a name of `STUDIES`.
        end: of `time.monotonic`, after which nothing begins [s].
        skipped: told what did not work, and why.
    """
    precision = "bf16" if device == "cuda" else "fp32"
    rows = []
    for mode in MODES[device]:
        for model, samples in _by_turns(study):
            if time.monotonic() > end:
                skipped.append(
                    f"steps: {mode} {named(model)} x {samples}: no time left"
                )
                continue
            plan = plan_of(model, samples, profile, precision=precision)
            try:
                rows.append(_row(plan, named(model), device, mode))
            except (RuntimeError, torch.OutOfMemoryError) as error:
                reason = str(error).partition("\n")[0]
                skipped.append(f"steps: {mode} {named(model)} x {samples}: {reason}")
            if device == "cuda":
                torch.cuda.empty_cache()
    return rows


def _by_turns(study: str) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Yield one batch of every network, then another of each, and so on."""
    cases = STUDIES[study]
    for turn in range(max(len(sizes) for _, sizes in cases)):
        for model, sizes in cases:
            if turn < len(sizes):
                yield model, sizes[turn]


def _row(plan: Plan, name: str, device: str, mode: Mode) -> dict[str, Any]:
    """Return one step, predicted and measured."""
    profile = prepare(plan).profile
    used = _without_host(profile) if mode == "graph" else profile
    predicted = simulate(plan, profile=used)
    step = measured_step(plan, device, mode=mode)
    row = {
        "model": name,
        "samples": plan.batch.global_,
        "format": plan.training.precision,
        "mode": mode,
        "measured": format_quantity(step.time, "s", _DIGITS),
        "spread": round(step.spread, _DIGITS),
    }
    if mode != "compiled":
        row["predicted"] = format_quantity(predicted.step_time_s, "s", _DIGITS)
        row["error"] = round(predicted.step_time_s / step.time - 1, _DIGITS)
    if not math.isnan(step.peak):
        row["peak"] = format_quantity(step.peak, "B", _DIGITS)
        row["predicted_peak"] = format_quantity(
            predicted.memory_peak_bytes, "B", _DIGITS
        )
        row["peak_error"] = round(predicted.memory_peak_bytes / step.peak - 1, _DIGITS)
    return row


def _without_host(profile: Profile) -> Profile:
    """Return the profile of a replayed graph, which no host issues."""
    return replace(
        profile, host_forward=0.0, host_backward=0.0, host_pass=0.0, host_step=0.0
    )


def summaries(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return median and worst error of steps by mode, and of eager peak memory."""
    found = []
    for mode, key in (("eager", "error"), ("graph", "error"), ("eager", "peak_error")):
        own = [row for row in rows if row["mode"] == mode and key in row]
        if not own:
            continue
        worst = max(own, key=lambda row: abs(row[key]))
        found.append(
            {
                "of": f"{mode} {'peak memory' if key == 'peak_error' else 'steps'}",
                "rows": len(own),
                "median_error": round(statistics.median(abs(r[key]) for r in own), 4),
                "worst_error": worst[key],
                "worst": f"{worst['model']} x {worst['samples']}",
            }
        )
    return found
