"""What a person gets to read of one collective."""

from __future__ import annotations

from simulator.one_collective.result import CollectiveResult
from topologies.units import format_quantity

_EXACT = {True: "exact", False: "approximate"}


def collective_report(result: CollectiveResult) -> str:
    """Return the report a person reads."""
    plan = result.plan
    cluster, section = plan.build_cluster(), plan.collective
    size = format_quantity(section.size, "B")
    nodes = f"{cluster.num_nodes} x {cluster.devices_per_node} {cluster.device.name}"
    calls = f", in {section.calls} calls" if section.calls > 1 else ""
    lines = [
        plan.title or section.pattern,
        f"  {section.pattern} of {size}{calls}, {plan.num_ranks} ranks on {nodes}",
        "",
        f"  time   {format_quantity(result.time_s, 's')}",
        f"  algbw  {format_quantity(result.algbw, 'B/s')}",
        f"  busbw  {format_quantity(result.busbw, 'B/s')}",
        "",
    ]
    for part in result.parts:
        sent = format_quantity(part.wire_bytes, "B")
        time = format_quantity(part.time_s, "s")
        lines.append(
            f"  {part.pattern} by {part.algorithm}, protocol {part.protocol}:"
            f" {time}, {part.steps:g} steps, {sent} on the wire"
            + f"; {part.form}, {_EXACT[part.is_exact]}"
            * bool(part.form)
        )
    if result.network is not None:
        lines += ["", *(f"  {line}" for line in result.network.lines(result.time_s))]
    lines += ["", f"  profile '{result.profile.name}': {result.profile.basis}"]
    return "\n".join(lines) + "\n"
