"""The trace that Perfetto opens."""

import gzip
import json

import pytest

from simulator.api import simulate
from simulator.reporting.trace import trace_events, write_trace
from tests.laws.small_plans import networked, plan


@pytest.fixture(scope="module")
def result():
    return simulate(plan(tensor=2, pipeline=2, data=2, overlap=True))


def test_every_span_is_a_complete_event_in_microseconds(result):
    events = [event for event in trace_events(result) if event["ph"] == "X"]
    for event, span in zip(events, result.timeline.spans, strict=True):
        assert event["name"] == span.op.name
        assert event["pid"] == span.rank
        assert event["ts"] == pytest.approx(span.start * 1e6)
        assert event["dur"] == pytest.approx((span.end - span.start) * 1e6)
        assert event["args"]["compute_us"] == pytest.approx(span.compute * 1e6)


def test_threads_are_streams_and_have_names(result):
    events = trace_events(result)
    named = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["name"] == "thread_name"
    }
    spans = [event for event in events if event["ph"] == "X"]
    for event, span in zip(spans, result.timeline.spans, strict=True):
        assert named[event["pid"], event["tid"]] == span.stream


def test_processes_say_how_many_ranks_they_stand_for(result):
    def processes(of):
        events = trace_events(of)
        return [e["args"]["name"] for e in events if e["name"] == "process_name"]

    assert processes(result) == ["stage 0 (x4)", "stage 1 (x4)"]
    single = simulate(plan(tensor=2, data=2), is_folded=False)
    assert processes(single)[-1] == "pipeline 0 data 1 tensor 1"


def test_a_trace_is_json_with_its_provenance(result, tmp_path):
    path = tmp_path / "trace.json"
    write_trace(result, path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["traceEvents"] == trace_events(result)
    assert document["otherData"] == result.provenance


def test_a_name_in_gz_is_compressed(result, tmp_path):
    write_trace(result, tmp_path / "trace.json")
    write_trace(result, tmp_path / "trace.json.gz")
    plain = (tmp_path / "trace.json").read_bytes()
    assert gzip.decompress((tmp_path / "trace.json.gz").read_bytes()) == plain


def test_messages_that_share_a_link_last_longer_than_alone():
    # On a ring of four nodes, of which two hold a stage each, activations go over the
    # cables that sums of gradients use; the last of the former meets the last of these.
    shared = networked("ring", pipeline=2, data=2, hidden=512, length=512, overlap=True)
    longer = {}
    for engine in ("analytical", "event"):
        events = trace_events(simulate(shared, engine=engine))
        longer[engine] = {
            event["name"]
            for event in events
            if "alone_us" in event["args"]
            and event["dur"] > 1.2 * event["args"]["alone_us"]
        }
    assert longer == {"analytical": set(), "event": {"send 1B1"}}


def test_messages_on_a_switch_share_no_link(result):
    assert not any("alone_us" in event["args"] for event in trace_events(result))
