"""The bottleneck among services that call each other, by name: from metrics over HTTP, and from spans in files."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from sickbay.investigation import run_probe
from tests.sources import prometheus

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
CALLS = [["front", "model"], ["front", "user"], ["model", "features"], ["user", "features"]]
GRAPH = {"latency": "latency", "calls": CALLS, "service": "model", "hours": 2, "recent_minutes": 10}


def services(slow="", factor=6.0):
    """Return series per service as Prometheus gives them: each is its own time and that of those it calls."""

    def own(name, at):
        sick = name == slow and at > NOW.timestamp() - 660
        return 0.01 * np.exp(0.08 * np.random.default_rng(int(at) + len(name)).normal()) * (factor if sick else 1)

    whole = {
        "features": lambda at: own("features", at),
        "model": lambda at: own("model", at) + whole["features"](at),
        "user": lambda at: own("user", at) + whole["features"](at),
        "front": lambda at: own("front", at) + max(whole["model"](at), whole["user"](at)),
    }
    return [({"service": name}, value) for name, value in whole.items()]


def looked(given, queries):
    with prometheus.served(queries) as url:
        site = {"source": {"prometheus": {"url": url, "graph": given}}}
        return run_probe(site, "latency.graph", clock=lambda: NOW)[0]


@pytest.mark.parametrize(("slow", "on"), [("features", True), ("user", True), ("front", True), ("model", False)])
def test_the_service_that_became_slow_itself_is_named(slow, on):
    found = looked(GRAPH, {"latency": services(slow)})
    assert found.status == "measured"
    assert found.says.startswith(slow)
    assert found.log_ratio > 1.5 if on else found.log_ratio < -1.5
    assert found.statistic == pytest.approx(0.05, rel=0.4)


def test_where_nothing_changed_none_is_named():
    found = looked(GRAPH, {"latency": services()})
    assert found.log_ratio < 0
    assert "None of 4" in found.says


def test_edges_may_come_from_a_service_graph():
    edges = [({"client": a, "server": b}, lambda at: 3.0) for a, b in CALLS]
    edges.append(({"client": "model", "server": "front"}, lambda at: 0.0))  # once, long ago
    given = {name: value for name, value in GRAPH.items() if name != "calls"} | {"edges": "calls"}
    found = looked(given, {"latency": services("features"), "calls": edges})
    assert found.on
    assert found.says.startswith("features")


@pytest.mark.parametrize(
    ("given", "queries", "reason"),
    [
        ({"service": ""}, {"latency": services("features")}, "features takes"),
        ({"service": "shop"}, {"latency": services("features")}, "no service shop"),
        ({"calls": []}, {"latency": services()}, "who calls whom"),
        ({"calls": [["a", "b"]]}, {"latency": services()}, "between two services"),
        ({"label": "job"}, {"latency": services()}, "0 services by the label 'job'"),
        ({}, {"latency": [({"service": n}, lambda at: 0.1 if at > NOW.timestamp() - 60 else None) for n in "ab"]},
         "between two|no service was seen"),
        ({}, {"latency": "timeout"}, "timed out"), ({}, {"latency": "execution error"}, "graph.latency"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_unknown_with_its_reason(given, queries, reason):
    found = looked(GRAPH | given, queries)
    assert found.status == "unknown"
    assert any(part in found.reason for part in reason.split("|")), found.reason


def spans(directory, slow="", seconds=300):
    """Write traces of front → model → features as two client and server spans each, two a second, as OTLP."""
    rng, lines = np.random.default_rng(1), []
    begin = NOW.timestamp() - seconds
    for k in range(seconds * 2):
        at, trace = begin + k / 2, f"{k:032x}"
        own = {name: 0.01 * np.exp(rng.normal(0, 0.2)) for name in ("front", "model", "features")}
        if slow and at > NOW.timestamp() - 35:
            own[slow] *= 8
        features, model = own["features"], own["model"] + own["features"] + 0.002
        made = [
            ("front", 2, "", "a", at, own["front"] + model + 0.002), ("front", 3, "a", "b", at + 0.001, model + 0.002),
            ("model", 2, "b", "c", at + 0.002, model), ("model", 3, "c", "d", at + 0.003, features + 0.002),
            ("features", 2, "d", "e", at + 0.004, features),
        ]  # fmt: skip
        for service, kind, parent, own_id, start, length in made:
            span = {
                "traceId": trace, "spanId": f"{own_id}{k}", "parentSpanId": parent and f"{parent}{k}", "name": "call",
                "kind": kind, "startTimeUnixNano": str(int(start * 1e9)),
                "endTimeUnixNano": str(int((start + length) * 1e9)),
            }  # fmt: skip
            name = [{"key": "service.name", "value": {"stringValue": service}}]
            lines.append(
                json.dumps({"resourceSpans": [{"resource": {"attributes": name}, "scopeSpans": [{"spans": [span]}]}]})
            )
    (directory / "spans.jsonl").write_text("\n".join(lines))
    return {"source": {"traces": {"files": ["spans.jsonl"], "service": "model"}}}


@pytest.mark.parametrize(("slow", "sign"), [("features", 1), ("front", 1), ("model", -1), ("", -1)])
def test_spans_name_the_service_that_takes_longer_by_itself(slow, sign, tmp_path):
    (found,) = run_probe(spans(tmp_path, slow), "latency.trace_graph", directory=tmp_path)
    assert sign * found.log_ratio > 0.9, found
    assert found.says.startswith(slow or "None of 3")


def test_spans_of_a_moment_have_nothing_to_compare_with(tmp_path):
    (found,) = run_probe(spans(tmp_path, seconds=20), "latency.trace_graph", directory=tmp_path)
    assert found.status == "unknown"
    assert "windows before" in found.reason
