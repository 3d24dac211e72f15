"""Probe of a workload's memory over some seconds: its base, whether it climbs, follows load, or jumps; what it needs.

Base: memory when a life begins to serve. Floor: the least memory of each second, which leaves out what single requests
hold. Climb: Theil and Sen's slope of the floor, with its 95 % interval (Sen 1968, doi:10.1080/01621459.1968.10480934).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from sickbay.errors import SourceError
from sickbay.probes import memory_shapes as shapes
from sickbay.probes.memory_lives import Watch, watch
from sickbay.probes.memory_shapes import Shape
from sickbay.registry import probe
from sickbay.sources.cgroups import Cgroups
from sickbay.sources.containers import Containers
from sickbay.sources.kubernetes import Kubernetes
from sickbay.stats.grading import grade
from sickbay.terms.evidence import Evidence, Line, Rows, Series
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

MIB = 2**20
SURE, CLEAR = 4.2, 3.0
CLIMBS = FindingKind(
    "memory.climbs", says="Memory climbs while the service works, and does not fall back.", leak=0.05,
    group="memory.shape", unit="share of the limit",
)  # fmt: skip
FOLLOWS = FindingKind(
    "memory.follows_load", says="Most of the memory is held by requests under way.", leak=0.04, group="memory.load"
)
NEAR = FindingKind(
    "memory.base_near_limit", says="Memory is close to the limit before the first request.", leak=0.02,
    group="memory.base",
)  # fmt: skip
TIGHT = FindingKind(
    "memory.base_tight", says="What the service needs before any request leaves little room.", leak=0.04,
    group="memory.base",
)  # fmt: skip
JUMPS = FindingKind(
    "memory.jumps", says="Memory jumps by a large part of the limit within a fraction of a second.", leak=0.05
)
NEEDS = FindingKind(
    "memory.needs_more",
    says="The measured use, with its usual load, does not fit the limit.",
    leak=0.1,
    group="memory.base",
)
ALL = (CLIMBS, FOLLOWS, NEAR, TIGHT, JUMPS, NEEDS)
MUCH, LARGE = 0.3, 0.28
"""Shares of the limit from which requests under way hold much, and from which a jump is large."""
HORIZON = 10.0
"""Seconds over which a climb is judged; a life that is cut short often is short."""


@probe(findings=ALL, seconds=9.0, deadline=60)
def lives(
    runtime: Kubernetes | Containers,
    cgroups: Cgroups | None,
    *,
    least: float = 6.0,
    longest: float = 13.0,
    every: float = 0.2,
) -> Iterable[Finding]:
    """Watches the memory of each container for some seconds: control groups on its own node, else its /metrics."""
    seen = watch(runtime, cgroups, least, longest, every)
    limits = sorted({life.limit for life in seen.lives if life.limit})
    if not limits:
        raise SourceError("not applicable: the containers have no memory limit, so nothing can be near it")
    found = [shapes.of(life) for life in seen.lives if life.limit]
    evidence = Evidence(
        {"by": seen.by, "lives": len(found), "seconds": round(seen.seconds, 1)}, [_chart(seen, runtime.now)]
    )
    yield from _base(found, evidence)
    yield _climbs(found, seen)
    yield _follows(found)
    yield _jumps(found)
    yield _needs(found, seen)


def _base(found: list[Shape], evidence: Evidence) -> Iterable[Finding]:
    known = [shape.base / shape.limit for shape in found if shape.base is not None]
    most = [shape.least / shape.limit for shape in found if shape.least is not None]
    if known:
        base = sorted(known)[len(known) // 2]
        says = f"When it begins to serve, {base:.0%} of the limit is used ({len(known)} lives)."
        yield measured(NEAR, _clip((base - 0.83) * 35), statistic=base, says=says, evidence=evidence)
        yield measured(TIGHT, _clip((base - 0.62) * 30), statistic=base, says=says)
    elif most and min(most) < 0.6:
        base = min(most)
        says = f"The least that was seen is {base:.0%} of the limit, so the base is no more."
        yield measured(NEAR, -CLEAR, statistic=base, says=says, evidence=evidence)
        yield measured(TIGHT, _clip((base - 0.62) * 30), statistic=base, says=says)
    else:
        for kind in (NEAR, TIGHT):
            yield unknown(kind, "no data: no life began within the watch, so its base was not seen", evidence=evidence)


def _climbs(found: list[Shape], seen: Watch) -> Finding:
    known = [shape for shape in found if shape.slope is not None]
    if not known:
        return unknown(CLIMBS, f"too few rows: no container served for {shapes.SPAN:.0f} s within the watch")
    graded = []
    for shape in known:
        assert shape.slope is not None
        rate, low, high = (HORIZON * part / shape.limit for part in shape.slope)
        graded.append((grade(rate, max((high - low) / 3.92, 0.02), 0.12), rate, low, high, shape))
    best = max(graded, key=lambda one: one[0] if math.isfinite(one[0]) else -9)
    total = sum(one[0] for one in graded) / len(graded)
    _, rate, low, high, shape = best
    slope = rate * shape.limit / HORIZON / MIB
    share = f"{low / HORIZON:.1%} to {high / HORIZON:.1%} of the limit"
    says = f"The floor of {shape.pod} rises by {slope:.2f} MiB/s ({share})"
    evidence: dict[str, float | str] = {"mib_per_second": slope, "by": shape.driver}
    if slope > 0 and shape.last is not None:
        left = (shape.limit - shape.last) / (slope * MIB)
        evidence["seconds_to_limit"] = left
        soon = f"at that rate the limit is reached in {_span(left)}" if left >= 1 else "it has come to the limit"
        says += f", {shape.driver_says}; {soon}"
    return measured(CLIMBS, total, statistic=rate / HORIZON, says=f"{says}.", evidence=Evidence(evidence))


def _follows(found: list[Shape]) -> Finding:
    known = [shape for shape in found if shape.held is not None]
    if not known:
        return unknown(FOLLOWS, "no data: the service does not say how many requests are under way")
    top = max(known, key=lambda shape: _of(shape.held, shape.limit))
    assert top.held is not None
    share, doubt = (part / top.limit for part in top.held)
    each = (top.each or 0.0) / MIB
    says = (
        f"Up to {top.running:.0f} requests were under way at {top.pod}; at {each:.1f} MiB each they hold {share:.0%} "
        "of the limit."
    )
    if abs(share - MUCH) < doubt:
        why = f"too few rows: the lives were too short to tell what a request holds ({share:.0%} ± {doubt:.0%})"
        return unknown(FOLLOWS, why)
    return measured(
        FOLLOWS, _clip((share - MUCH) * 16), statistic=share, says=says, evidence=Evidence({"mib_each": each})
    )


def _of(pair: tuple[float, float] | None, limit: int) -> float:
    return pair[0] / limit if pair is not None else 0.0


def _jumps(found: list[Shape]) -> Finding:
    known = [shape for shape in found if shape.jump is not None]
    if not known:
        return unknown(JUMPS, "too few rows: no container served within the watch")
    top = max(known, key=lambda shape: _of(shape.jump, shape.limit))
    assert top.jump is not None
    share, least = (part / top.limit for part in top.jump)
    says = f"The largest jump, less what more requests explain, is {share:.0%} of the limit (at {top.pod})."
    if share > LARGE > least:  # what more requests hold is not known well enough
        return unknown(JUMPS, f"too few rows: a jump of {least:.0%} to {share:.0%} of the limit is not told from load")
    return measured(JUMPS, _clip((share - LARGE) * 14), statistic=share, says=says)


def _needs(found: list[Shape], seen: Watch) -> Finding:
    """Compare the limit with what was measured, and say what would fit: the capacity plan."""
    bases = [base for shape in found if (base := shape.base or shape.least)]
    if not bases:
        return unknown(NEEDS, "no data: no base was seen")
    base = sorted(bases)[len(bases) // 2]
    limit = max(shape.limit for shape in found)
    each = sorted(shape.each for shape in found if shape.each) or [0.0]
    usual = sorted(shape.usual for shape in found if shape.usual is not None) or [0.0]
    per, load = each[len(each) // 2], usual[len(usual) // 2]
    jump = max((shape.jump[0] for shape in found if shape.jump), default=0.0)
    work = per * max(1.0, load) * 2  # twice the usual: arrivals come in bunches
    need = base + work
    plan = shapes.plan(base, per, load, jump, limit, seen.replicas)
    table = Rows(("what", "measured", "would fit"), plan, "Capacity, from this watch (a quarter of reserve)")
    says = (
        f"Base {base / MIB:.0f} MiB and usual work {work / MIB:.0f} MiB make {need / limit:.0%} of the limit of "
        f"{limit / MIB:.0f} MiB; request {shapes.request(base, per, load):.0f} MiB and limit "
        f"{shapes.limit(base, per, load, jump):.0f} MiB would fit what was seen."
    )
    return measured(
        NEEDS, _clip((need / limit - 0.85) * 12), statistic=need / limit, says=says,
        evidence=Evidence({"base_mib": base / MIB, "each_mib": per / MIB, "usual_running": load}, [table]),
    )  # fmt: skip


def _chart(seen: Watch, now: datetime) -> Series:
    """Return memory over time per life, as share of its limit."""
    shown = sorted(seen.lives, key=lambda life: -len(life.samples))[:6]
    grid = [0.5 * k for k in range(int(seen.seconds / 0.5) + 1)]
    lines = []
    for life in shown:
        values = []
        for at in grid:
            near = [s.memory for s in life.samples if at <= s.at < at + 0.5]
            values.append(max(near) / life.limit if near and life.limit else None)
        lines.append(Line(f"{life.pod[-12:]} {life.id[:6]}", tuple(values)))
    times = tuple(now + timedelta(seconds=at) for at in grid)
    return Series(times, tuple(lines), "share of the limit", f"Memory, by {seen.by}")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _clip(ratio: float) -> float:
    return max(-CLEAR, min(SURE, ratio))
