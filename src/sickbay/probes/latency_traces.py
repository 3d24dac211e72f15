"""Probe of traces: which service adds the time, and how much of a call is spent on the way between two services."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from sickbay.registry import probe
from sickbay.sources.traces import Span, Traces
from sickbay.stats import latency
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

WINDOW, FEWEST = 30.0, 5
"""Seconds of the latest spans that are looked at, and calls that are needed to say anything."""

GAP = FindingKind(
    "latency.trace_gap", says="Calls spend most of their time on the way between two services.", leak=0.03,
    group="latency.network_slow", unit="s",
)  # fmt: skip


def gaps(spans: list[Span]) -> dict[str, list[tuple[float, float]]]:
    """Return per pair of services the (time on the way, whole time) of each call seen from both sides; seconds."""
    calls = {span.id: span for span in spans if span.kind == "client"}
    found: dict[str, list[tuple[float, float]]] = {}
    for served in spans:
        call = calls.get(served.parent)
        if served.kind == "server" and call is not None and call.service != served.service:
            way = max(0.0, call.seconds - served.seconds)
            found.setdefault(f"{call.service} to {served.service}", []).append((way, call.seconds))
    return found


def own_times(spans: list[Span]) -> dict[str, float]:
    """Return per service the mean seconds of its server spans in which it called nobody; calls may overlap."""
    found: dict[str, list[float]] = {}
    for span, seconds in own_spans(spans):
        found.setdefault(span.service, []).append(seconds)
    return {service: statistics.fmean(times) for service, times in found.items()}


def own_spans(spans: Sequence[Span]) -> Iterable[tuple[Span, float]]:
    """Yield each server span, and its seconds in which no call of another was under way.

    Spans of the service's own steps are part of its own time; the calls below them are not.
    """
    below: dict[str, list[Span]] = {}
    for span in spans:
        below.setdefault(span.parent, []).append(span)
    for span in spans:
        if span.kind == "server":
            covered, until = 0.0, span.start
            for call in sorted(_calls(span, below), key=lambda one: one.start):
                begin, end = max(call.start, until), min(call.start + call.seconds, span.start + span.seconds)
                covered += max(0.0, end - begin)
                until = max(until, end)
            yield span, max(0.0, span.seconds - covered)


def _calls(span: Span, below: Mapping[str, list[Span]]) -> list[Span]:
    """Return the calls of others below a span, also those below its own steps."""
    found: list[Span] = []
    seen, steps = {span.id}, [span]
    while steps:
        for child in below.get(steps.pop().id, []):
            if child.id in seen:  # spans that name each other as parents
                continue
            seen.add(child.id)
            calling = child.service != span.service or child.kind in ("client", "producer")
            (found if calling else steps).append(child)
    return found


@probe(findings=[GAP], seconds=0.5, deadline=30, name="latency.traces")
def traces(traces: Traces) -> Iterable[Finding]:
    """Reads the latest spans, and compares what a caller waited with what the one that was called took."""
    spans = traces.once.get("spans", traces.spans)
    latest = [span for span in spans if span.start >= spans[-1].start - WINDOW]
    found = {pair: calls for pair, calls in gaps(latest).items() if len(calls) >= FEWEST}
    own = tuple((service, f"{seconds * 1000:.1f} ms") for service, seconds in sorted(own_times(latest).items()))
    if not found:
        yield unknown(GAP, f"no data: fewer than {FEWEST} calls were traced on both sides")
        return
    ways = {pair: statistics.median(way for way, _ in calls) for pair, calls in found.items()}
    worst = max(ways, key=lambda pair: ways[pair])
    whole = statistics.median(total for _, total in found[worst])
    ratio = latency.against(ways[worst], None, general=0.005, matters=4.0, floor=0.01)
    yield measured(
        GAP, ratio, statistic=ways[worst],
        says=f"{worst}: {ways[worst] * 1000:.0f} of {whole * 1000:.0f} ms are neither side's.",
        evidence=Evidence(dict(ways), [Rows(("service", "own time"), own, "Time in which it called nobody")]),
    )  # fmt: skip
