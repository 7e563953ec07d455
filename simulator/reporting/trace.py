"""The timeline as a Chrome trace, which Perfetto and chrome://tracing open.

One process per simulated rank, one thread per stream. Repeated layers inside a pass
are not drawn; the pass's arguments name its parts.
A message on a graph says how long it takes with its links to itself (`alone_us`); one
that lasts longer shared them, or was issued late.

Source: Trace Event Format, complete events (`X`), times in microseconds.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from simulator.results.result import Result
from simulator.workload import Body
from topologies.units import number_in


def trace_events(result: Result) -> list[dict[str, Any]]:
    """Return the events, in the order of the timeline's spans."""
    events: list[dict[str, Any]] = []
    streams = sorted({span.stream for span in result.timeline.spans})
    for rank, role in enumerate(result.timeline.roles):
        name = f"stage {role.pipeline} (x{role.multiplicity})"
        if role.multiplicity == 1:
            name = f"pipeline {role.pipeline} data {role.data} tensor {role.tensor}"
        events.append(_metadata("process_name", rank, 0, name))
        events += [
            _metadata("thread_name", rank, thread, stream)
            for thread, stream in enumerate(streams)
        ]
    for span in result.timeline.spans:
        events.append(
            {
                "name": span.op.name,
                "cat": span.op.body.phase,
                "ph": "X",
                "pid": span.rank,
                "tid": streams.index(span.stream),
                "ts": number_in(span.start, "us"),
                "dur": number_in(span.end - span.start, "us"),
                "args": {
                    "body": span.op.body.name,
                    "compute_us": number_in(span.compute, "us"),
                    "communication_us": number_in(span.communication, "us"),
                    **_alone(result, span.op.body),
                },
            }
        )
    return events


def _alone(result: Result, body: Body) -> dict[str, float]:
    """Return how long a message takes whose links carry nothing else."""
    located = result.job.located
    if located is None or body not in located.traffic:
        return {}
    return {"alone_us": number_in(float(result.job.prices[body].busy), "us")}


def write_trace(result: Result, path: str | Path) -> None:
    """Write the trace to `path`; a name that ends in `.gz` is compressed."""
    document = {
        "traceEvents": trace_events(result),
        "displayTimeUnit": "ms",
        "otherData": result.provenance,
    }
    text = json.dumps(document)
    target = Path(path)
    if target.suffix == ".gz":
        target.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        target.write_text(text, encoding="utf-8")


def _metadata(kind: str, rank: int, thread: int, name: str) -> dict[str, Any]:
    return {
        "name": kind,
        "ph": "M",
        "pid": rank,
        "tid": thread,
        "args": {"name": name},
    }
