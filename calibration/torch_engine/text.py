"""What a real run measured, for people."""

from __future__ import annotations

from calibration.torch_engine.measured import Measured
from topologies.units import format_memory, format_quantity


def report(measured: Measured) -> str:
    """Return a report of a few lines."""
    low, high = (format_quantity(end, "s") for end in measured.interval_s)
    step = format_quantity(measured.step_time_s, "s")
    steps = f"{len(measured.times)} steps after {measured.warm_up} of warm-up"
    lines = [
        f"{'step time':<24}{step}  ({low} … {high}, {steps})",
        f"{'samples a second':<24}{measured.samples_per_s:.4g}",
        f"{'ranks':<24}{measured.world_size}",
    ]
    if measured.parts:
        for name, value in measured.parts._asdict().items():
            word = name.removesuffix("_s").replace("_", " ")
            lines.append(f"  {word:<22}{format_quantity(value, 's')}")
    if measured.memory_peak_bytes is not None:
        peak = format_memory(measured.memory_peak_bytes)
        lines.append(f"{'live tensors, peak':<24}{peak}")
    if measured.losses:
        first, last = measured.losses[0], measured.losses[-1]
        lines.append(f"{'loss':<24}{first:.4g} → {last:.4g}")
    lines.append("ledger of a step")
    lines += [
        f"  {row.op:<20}{row.axis:<14}{row.count:>6}"
        f"{format_quantity(row.bytes, 'B'):>12}"
        for row in measured.ledger
    ]
    return "\n".join(lines)
