"""Probe that puts the time of a request together: what the service tells of it, and what the kernel counts besides.

It looks at nothing by itself: it shares the look of ``latency.metrics`` and of ``latency.process``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from sickbay.errors import SourceError
from sickbay.probes import latency_metrics, latency_process
from sickbay.registry import probe
from sickbay.sources.process import Process
from sickbay.sources.prometheus import Prometheus
from sickbay.stats.latency import PARTS, Split, split
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SHOWN = 0.03
"""Share of the time from which a part is told in the sentence."""
LOCKS = "locks, and calls that the service does not time"

UNACCOUNTED = FindingKind(
    "latency.time_unaccounted",
    says="Much of a request's time is in no part that could be measured.",
    leak=0.2,
    unit="s",
)


@probe(findings=[UNACCOUNTED], seconds=4.5, deadline=40, name="latency.time")
def request_time(prometheus: Prometheus, process: Process | None) -> Iterable[Finding]:
    """Splits the time of a request: queueing, processor, quota, memory, disk, other services, pool, event loop."""
    with ThreadPoolExecutor(1) as pool:
        kernel = pool.submit(_rates, process)
        told = latency_metrics.figures(latency_metrics.watched(prometheus))
        rates, why = kernel.result()
    try:
        now = split(told, rates)
    except ValueError:
        yield unknown(UNACCOUNTED, "no data: no request came while it was looked at")
        return
    usual = _usual(prometheus.baseline, process.baseline if process is not None else {})
    yield _finding(now, usual, why)


def _rates(process: Process | None) -> tuple[Mapping[str, float], str]:
    """Return the kernel's figures, and why there are none."""
    if process is None:
        return {}, "[source.process] names no process that can be read"
    try:
        return latency_process.rates(latency_process.watched(process)), ""
    except SourceError as error:
        return {}, str(error)


def _usual(service: Mapping[str, float], process: Mapping[str, float]) -> Split | None:
    try:
        return split(service, process)
    except ValueError:
        return None


def _finding(now: Split, usual: Split | None, why: str) -> Finding:
    rest, whole = now.rest, now.whole
    if usual is not None and whole > usual.whole + max(0.015, 0.5 * usual.whole):
        rest, whole = max(0.0, now.rest - usual.rest), whole - usual.whole
    told = sorted(((value, PARTS[name]) for name, value in now.parts.items() if value == value), reverse=True)
    shares = [f"{value / now.whole:.0%} {words}" for value, words in told if value >= SHOWN * now.whole]
    lacking = [PARTS[name] for name, value in now.parts.items() if value != value]
    before = f", usually {usual.whole * 1000:.0f}" if usual is not None else ""
    shares.append(f"{now.rest / now.whole:.0%} not accounted for")
    says = f"Of {now.whole * 1000:.0f} ms{before}: {', '.join(shares)}."
    if lacking:
        says += f" Not measured: {', '.join(lacking)}.{f' Of the process: {why}.' if why else ''}"
    if now.overlap < 0.95:
        says += f" The parts overlap: together they are {1 / now.overlap:.1f} times the whole, and were scaled to it."
    numbers: dict[str, float | None] = {"whole": now.whole, "rest": now.rest, "overlap": now.overlap}
    numbers |= {name: (value if math.isfinite(value) else None) for name, value in now.parts.items()}
    return measured(
        UNACCOUNTED, max(-1.0, min(0.6, 3.0 * (rest / whole - 0.6))), statistic=now.rest, says=says,
        evidence=Evidence(numbers, [_table(now, usual)]),
    )  # fmt: skip


def _table(now: Split, usual: Split | None) -> Rows:
    def cells(seconds: float, before: float | None) -> tuple[str, str, str, str]:
        if seconds != seconds:
            return "not measured", "", "", ""
        was = "" if before is None or before != before else f"{before * 1000:.1f}"
        more = "" if before is None or before != before else f"{(seconds - before) * 1000:+.1f}"
        return f"{seconds * 1000:.1f}", f"{seconds / now.whole:.0%}", was, more

    rows = [
        (PARTS[name], *cells(value, None if usual is None else usual.parts[name])) for name, value in now.parts.items()
    ]
    rows.append((f"not accounted for: {LOCKS}", *cells(now.rest, None if usual is None else usual.rest)))
    rows.append(("a request in all", *cells(now.whole, None if usual is None else usual.whole)))
    return Rows(("part", "ms", "share", "usually ms", "more ms"), tuple(rows), "Where the time of a request goes")
