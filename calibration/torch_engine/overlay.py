"""A prediction and a run in one Chrome trace: a process each, a thread a rank's stream.

Source: Trace Event Format, complete events (`X`), times in microseconds.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibration.torch_engine.validation import Comparison
from topologies.units import Seconds, number_in

_PREDICTED, _MEASURED = 1, 2
_LANES = 16  # threads of one rank, so that its streams stay together


def overlay_events(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the events of both, named predicted and measured."""
    return [
        _named("process_name", _PREDICTED, 0, "predicted"),
        _named("process_name", _MEASURED, 0, "measured"),
        *_predicted(comparison),
        *_measured(comparison),
    ]


def write_overlay(comparison: Comparison, path: Path) -> None:
    """Write the trace to `path`; a name that ends in `.gz` is compressed."""
    content = {"traceEvents": overlay_events(comparison), "displayTimeUnit": "ms"}
    text = json.dumps(content)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, encoding="utf-8")


def _predicted(comparison: Comparison) -> Iterator[dict[str, Any]]:
    timeline = comparison.predicted.timeline
    streams = sorted({span.stream for span in timeline.spans})
    for rank, role in enumerate(timeline.roles):
        for lane, stream in enumerate(streams):
            name = f"stage {role.pipeline} {stream}"
            yield _named("thread_name", _PREDICTED, _LANES * rank + lane, name)
    for span in timeline.spans:
        lane = _LANES * span.rank + streams.index(span.stream)
        yield _event(_PREDICTED, lane, span.op.name, span.start, span.end)


def _measured(comparison: Comparison) -> Iterator[dict[str, Any]]:
    streams = ("compute", "communication")
    for rank, spans in enumerate(comparison.measured.spans):
        for lane, stream in enumerate(streams):
            name = f"rank {rank} {stream}"
            yield _named("thread_name", _MEASURED, _LANES * rank + lane, name)
        for span in spans:
            lane = _LANES * rank + streams.index(span.stream)
            yield _event(_MEASURED, lane, span.name, span.begin, span.end)


def _event(
    process: int, lane: int, name: str, begin: Seconds, end: Seconds
) -> dict[str, Any]:
    return {
        "name": name,
        "ph": "X",
        "pid": process,
        "tid": lane,
        "ts": number_in(begin, "us"),
        "dur": number_in(end - begin, "us"),
    }


def _named(kind: str, process: int, lane: int, name: str) -> dict[str, Any]:
    return {
        "name": kind,
        "ph": "M",
        "pid": process,
        "tid": lane,
        "args": {"name": name},
    }
