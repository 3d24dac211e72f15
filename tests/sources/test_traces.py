"""Spans of OTLP and Jaeger, and what lies between two services."""

from __future__ import annotations

import json

import pytest

from sickbay.errors import SourceGarbled
from sickbay.investigation import doctor, run_probe
from sickbay.probes.latency_traces import gaps, own_times
from sickbay.sources.traces import read


def otlp(service, own, parent, kind, start, seconds, trace="t"):
    span = {
        "traceId": trace, "spanId": own, "parentSpanId": parent, "name": "n", "kind": kind,
        "startTimeUnixNano": str(int(start * 1e9)), "endTimeUnixNano": str(int((start + seconds) * 1e9)),
    }  # fmt: skip
    named = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceSpans": [{"resource": named, "scopeSpans": [{"spans": [span]}]}]})


def request(k, way):
    at = 1000.0 + k
    return [
        otlp("model", f"a{k}", "", 2, at, 0.05 + way, f"t{k}"),
        otlp("model", f"b{k}", f"a{k}", 3, at + 0.01, 0.01 + way, f"t{k}"),
        otlp("risk", f"c{k}", f"b{k}", 2, at + 0.01 + way / 2, 0.01, f"t{k}"),
    ]


@pytest.mark.parametrize(("way", "on"), [(0.4, True), (0.001, False)])
def test_the_time_between_two_services_is_told_from_theirs(way, on, tmp_path):
    (tmp_path / "spans.jsonl").write_text("\n".join(line for k in range(8) for line in request(k, way)))
    site = {"source": {"traces": {"files": ["*.jsonl"]}}}
    found = run_probe(site, "latency.traces", directory=tmp_path)[0]
    assert found.status == "measured"
    assert found.on == on
    assert all(check.ok for check in doctor(site, directory=tmp_path))


def test_own_time_is_that_in_which_nobody_was_called():
    spans = read("\n".join(request(0, 0.1)), "here")
    assert own_times(spans)["model"] == pytest.approx(0.04, abs=1e-6)
    assert gaps(spans)["model to risk"][0][0] == pytest.approx(0.1, abs=1e-6)


def test_a_step_of_its_own_is_own_time_and_a_call_below_it_is_not():
    lines = [
        otlp("model", "a", "", 2, 1000.0, 0.1), otlp("model", "step", "a", 1, 1000.01, 0.08),
        otlp("model", "call", "step", 3, 1000.02, 0.03), otlp("risk", "r", "call", 2, 1000.03, 0.01),
        otlp("model", "loop", "loop", 1, 1000.0, 0.1),
    ]  # fmt: skip
    assert own_times(read("\n".join(lines), "here"))["model"] == pytest.approx(0.07, abs=1e-6)


def test_jaeger_says_the_same():
    tags = lambda kind: [{"key": "span.kind", "value": kind}]  # noqa: E731
    spans = [
        {"traceID": "t", "spanID": "1", "processID": "p1", "startTime": 1, "duration": 50_000, "tags": tags("client")},
        {
            "traceID": "t", "spanID": "2", "processID": "p2", "startTime": 5, "duration": 10_000,
            "tags": tags("server"), "references": [{"refType": "CHILD_OF", "spanID": "1"}],
        },
    ]  # fmt: skip
    trace = {"spans": spans, "processes": {"p1": {"serviceName": "a"}, "p2": {"serviceName": "b"}}}
    assert gaps(read(json.dumps({"data": [trace]}), "here"))["a to b"][0][0] == pytest.approx(0.04)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"resourceSpans": [3]}', '{"data": [{"spans": [{}]}]}'])
def test_what_is_no_trace_is_garbled(text):
    with pytest.raises(SourceGarbled, match="here"):
        read(text, "here")


def test_few_calls_are_unknown_and_no_file_is_no_data(tmp_path):
    (tmp_path / "spans.jsonl").write_text("\n".join(request(0, 0.1)))
    found = run_probe({"source": {"traces": {"files": ["*.jsonl"]}}}, "latency.traces", directory=tmp_path)[0]
    assert found.status == "unknown"
    found = run_probe({"source": {"traces": {"files": ["*.none"]}}}, "latency.traces", directory=tmp_path)[0]
    assert found.reason.startswith("no data")
