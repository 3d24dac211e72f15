"""Probes of the call graph: which of many services became slow by itself, from traces or from metrics alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sickbay.errors import SourceError
from sickbay.probes.latency_traces import own_spans
from sickbay.registry import probe
from sickbay.sources.prometheus import Prometheus
from sickbay.sources.traces import Span, Traces
from sickbay.stats.callgraph import FEWEST, Suspect, localise
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

POINTS, EDGE_POINTS = 480, 12
RECENT, WINDOWS = 30.0, 40
"""Seconds of the latest spans that count as now, and windows that what lies before is cut into."""
CLEAR = 4.0
"""Spreads of a service's own time from which it counts as slower."""

ELSEWHERE = FindingKind(
    "latency.elsewhere",
    says="It is another service than the model server that became slow by itself.",
    leak=0.03,
    unit="s",
)
TRACED = FindingKind(
    "latency.traced_elsewhere",
    says="By its spans, it is another service than the model server that became slow by itself.",
    leak=0.03,
    unit="s",
    group=ELSEWHERE.group,
)
Floats = NDArray[np.float64]
Sides = tuple[dict[str, Floats], dict[str, Floats]]


@probe(findings=[ELSEWHERE], seconds=1.0, deadline=60, name="latency.graph")
def graph(prometheus: Prometheus) -> Iterable[Finding]:
    """Learns from Prometheus what each service adds to those it calls, and names the one that now adds more."""
    given = prometheus.graph
    if given is None:
        raise SourceError("no data: [source.prometheus.graph] names no query for the latency of each service")
    if not given.calls and not given.edges:
        raise SourceError("no data: [source.prometheus.graph] does not say who calls whom: calls or edges")
    found = prometheus.history("graph.latency", given.latency, given.hours, POINTS)
    rows = {labels.get(given.label, ""): row for labels, row in found.rows}
    rows.pop("", None)
    if len(rows) < 2:
        raise SourceError(
            f"no data: 'source.prometheus.graph.latency' gives {len(rows)} services by the label {given.label!r}; two "
            "are needed"
        )
    calls = list(given.calls)
    if given.edges:
        seen = prometheus.history("graph.edges", given.edges, given.hours, EDGE_POINTS)
        pairs = (
            (labels.get("client", ""), labels.get("server", "")) for labels, row in seen.rows if np.nansum(row) > 0
        )
        calls += [pair for pair in pairs if all(pair)]
    if not [pair for pair in calls if pair[0] in rows and pair[1] in rows]:
        raise SourceError("no data: no call is between two services of which a latency is known")
    recent = found.times >= found.times[-1] - given.recent_minutes * 60
    sides = ({name: row[~recent] for name, row in rows.items()}, {name: row[recent] for name, row in rows.items()})
    warned = f" Prometheus warns: {found.warnings[0]}." if found.warnings else ""
    yield _judged(ELSEWHERE, sides, calls, given.service, "source.prometheus.graph", warned)


@probe(findings=[TRACED], seconds=0.5, deadline=30, name="latency.trace_graph")
def trace_graph(traces: Traces) -> Iterable[Finding]:
    """Compares each service's own time in the latest spans with that before, and names the one that takes longer."""
    spans = traces.once.get("spans", traces.spans)
    yield _judged(TRACED, windows(spans), [], traces.service, "source.traces", "")


def windows(spans: Sequence[Span]) -> Sides:
    """Return per service its mean own time in each window, before the latest half minute and in it; seconds.

    A span's own time is that in which it called nobody: there it needs no learning what the callees add.
    """
    start, end = spans[0].start, spans[-1].start
    length = max(1.0, (end - RECENT - start) / WINDOWS)
    before = max(1, math.floor((end - RECENT - start) / length))
    now = max(1, math.ceil(RECENT / length))
    parts: dict[str, tuple[list[list[float]], list[list[float]]]] = {}
    for span, seconds in own_spans(spans):
        sides = parts.setdefault(span.service, ([[] for _ in range(before)], [[] for _ in range(now)]))
        back = end - span.start
        if back <= RECENT:
            sides[1][min(now - 1, int(back / length))].append(seconds)
        elif back - RECENT < before * length:
            sides[0][int((back - RECENT) / length)].append(seconds)

    def means(cells: list[list[float]]) -> Floats:
        return np.array([np.mean(cell) if cell else np.nan for cell in cells], dtype=np.float64)

    return (
        {name: means(sides[0]) for name, sides in parts.items()},
        {name: means(sides[1]) for name, sides in parts.items()},
    )


def _judged(
    kind: FindingKind, sides: Sides, calls: Sequence[tuple[str, str]], ours: str, key: str, warned: str
) -> Finding:
    """Return the finding, which names the service in its sentence; unknown where it is not said which one is ours."""
    before, now = sides
    thin = [
        name for name, row in before.items()
        if np.isfinite(row).sum() < FEWEST or not np.isfinite(now.get(name, np.empty(0))).any()
    ]  # fmt: skip
    kept = {name: row for name, row in before.items() if name not in thin}
    if not kept:
        return unknown(kind, f"no data: no service was seen in {FEWEST} windows before the latest and in the latest")
    suspects = localise(kept, {name: now[name] for name in kept}, calls)
    slower = sorted((s for s in suspects if s.score >= CLEAR), key=lambda s: -s.seconds)
    evidence = _evidence(suspects, kept, now, calls)
    left_out = f" Too little is known of {', '.join(sorted(thin))}." if thin else ""
    if not slower:
        says = f"None of {len(kept)} services takes longer by itself than before.{left_out}{warned}"
        return measured(kind, -1.0, statistic=0.0, says=says, evidence=evidence)
    worst = slower[0]
    besides = [s for s in slower[1:] if s.seconds > 0.5 * worst.seconds]
    says = f"{worst.service} takes {worst.seconds * 1000:.0f} ms longer by itself ({worst.score:.0f} spreads)"
    says += f", and so do {', '.join(s.service for s in besides)}" if besides else ""
    says += f"; it is the first of {len(kept)} services to look at.{left_out}{warned}"
    if not ours or (ours not in kept and ours not in thin):
        why = f"{key}.service does not say which one is the model server" if not ours else f"there is no service {ours}"
        return unknown(kind, f"no data: {why}. {says}", evidence=evidence)
    if ours in thin:
        return unknown(kind, f"no data: too little is known of {ours} itself. {says}", evidence=evidence)
    ratio = min(2.5, 0.5 + (worst.score - CLEAR) / 4) * (0.4 if besides else 1.0)
    return measured(
        kind, -ratio if worst.service == ours else ratio, statistic=worst.seconds, says=says, evidence=evidence
    )


def _evidence(
    suspects: Sequence[Suspect],
    before: Mapping[str, Floats],
    now: Mapping[str, Floats],
    calls: Sequence[tuple[str, str]],
) -> Evidence:
    rows = []
    for suspect in suspects[:24]:
        usual, seen = (float(np.nanmedian(side[suspect.service])) * 1000 for side in (before, now))
        called = sorted({callee for caller, callee in calls if caller == suspect.service and callee in before})
        own = f"{suspect.seconds * 1000:.1f}"
        rows.append((suspect.service, f"{usual:.1f}", f"{seen:.1f}", own, f"{suspect.score:.1f}", ", ".join(called)))
    columns = ("service", "before ms", "now ms", "more by itself ms", "spreads", "calls")
    shown = Rows(columns, tuple(rows), "What each service adds by itself")
    return Evidence({s.service: s.seconds for s in suspects}, [shown])
