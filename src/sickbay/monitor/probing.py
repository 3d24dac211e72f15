"""Monitors that are probes on a schedule: what would have been seen coming, and how long until it comes.

``[monitor.NAME] probes = ["database.sessions", "host.disks"]``. Each probe runs every so often; a finding that is on
for ``raise_after`` runs raises the alarm. Where a finding says at which value its statistic ends (``limit`` among the
numbers of its evidence), the slope of what was read lately tells when: the alarm comes ``warn_before`` that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sickbay.config import Monitor, Site
from sickbay.errors import SiteFileError, SourceError, nearest
from sickbay.investigation import run_probe
from sickbay.monitor.progress import Progress
from sickbay.monitor.store import Event, Reading, Store
from sickbay.registry import PROBES
from sickbay.stats.alarm import Alarm, Rule
from sickbay.terms.cause import Knowledge
from sickbay.terms.finding import Finding, unknown
from sickbay.terms.window import length

FEWEST, MOST = 8, 200
"""Readings below which no slope is told, and to which they are thinned: every pair of them is looked at."""
FARTHEST = 10.0
"""No slope is followed farther ahead than so many times the span it was seen over."""
TREND = "/days-left"
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """One monitor of probes, ready; lengths in whole seconds."""

    name: str
    settings: Monitor
    probes: tuple[str, ...]
    every: int
    warn_before: int
    history: int


def plan(name: str, settings: Monitor, site: Site) -> ProbePlan:
    """Return the plan of a monitor of probes; SiteFileError for a probe that does not exist."""
    known = PROBES.load()
    for probe in settings.probes or ():
        if probe not in known:
            hint = nearest(probe, known) or "`sickbay probe list` shows them"
            raise SiteFileError(f"{site.file}: monitor.{name}.probes: there is no probe {probe!r}", hint=hint)

    def seconds(key: str, value: str) -> int:
        return int(length(value, option=f"{site.file}: monitor.{name}.{key}").total_seconds())

    return ProbePlan(
        name, settings, tuple(settings.probes or ()), max(1, seconds("every", settings.every)),
        seconds("warn_before", settings.warn_before), seconds("history", settings.history),
    )  # fmt: skip


def turn(plan: ProbePlan, site: Site, store: Store, now: datetime, environ: Mapping[str, str]) -> Progress:
    """Run the probes of a monitor if they are due, keep what they read, and step the alarms."""
    progress = Progress(plan.name)
    moment = int(now.timestamp())
    progress.last_end = store.last_reading(plan.name)
    if progress.last_end is not None and moment < progress.last_end + plan.every:
        return progress
    found = [finding for probe in plan.probes for finding in _run(probe, plan, site, now, environ)]
    readings = [_reading(plan.name, moment, finding) for finding in found]
    lately = moment - max(plan.warn_before, FEWEST * plan.every)
    trends = {
        reading.finding: days_left([*store.readings(plan.name, reading.finding, lately), reading])
        for reading in readings
        if reading.limit is not None
    }
    alarms, events = _step(plan, store, readings, trends, moment)
    store.add_readings(readings, alarms, events, forget_before=moment - plan.history)
    progress.readings, progress.events, progress.last_end = tuple(readings), events, moment
    progress.days_left = {finding: math.inf if left is None else left[0] for finding, left in trends.items()}
    if readings and all(reading.status == "unknown" for reading in readings):
        progress.error = f"nothing could be measured: {readings[0].says}"
    return progress


def days_left(readings: Sequence[Reading]) -> tuple[float, float] | None:
    """Return the days until the limit is reached, and the least they may be at 95 %; None when it does not near it.

    The slope is that of Theil and Sen (1968): a few odd readings do not turn it.
    """
    known = [r for r in readings if r.statistic is not None and r.limit is not None]
    thinned = known[:: -max(1, -(-len(known) // MOST))][::-1]
    times = [r.at / DAY for r in thinned]
    gaps: list[float] = [float(r.limit or 0.0) - float(r.statistic or 0.0) for r in thinned]
    if len(gaps) < FEWEST or min(gaps) == max(gaps):
        return None
    from scipy.stats import theilslopes

    slope, intercept, low, high = theilslopes(gaps, times)
    now = intercept + slope * times[-1]
    if low <= 0 <= high or math.copysign(1.0, now) == math.copysign(1.0, slope):
        return None
    steepest = low if abs(low) > abs(high) else high
    left = max(0.0, -now / slope)
    return None if left > FARTHEST * (times[-1] - times[0]) else (left, max(0.0, -now / steepest))


def scenario(finding: str, knowledge: Knowledge) -> str | None:
    """Return the scenario of the cause that shows a finding most surely; None where no cause is known to."""
    shown = [cause for cause in knowledge.causes.values() if finding in cause.shows]
    links = [(cause.shows[finding].strength, cause.scenario) for cause in shown]
    return max(links)[1] or None if links else None


def finding_of(series: str) -> str:
    """Return the finding that a series of alarms belongs to."""
    return series.removesuffix(TREND)


def _run(probe: str, plan: ProbePlan, site: Site, now: datetime, environ: Mapping[str, str]) -> list[Finding]:
    """Run one probe; a system that cannot be reached at all leaves its findings unknown."""
    try:
        told = run_probe(
            site, probe, model=plan.settings.model, environ=environ, directory=site.base, clock=lambda: now
        )
    except SourceError as error:
        return [unknown(kind, f"unreachable: {error}") for kind in PROBES.get(probe).findings]
    return [item for item in told if isinstance(item, Finding)]


def _reading(monitor: str, at: int, finding: Finding) -> Reading:
    limit = finding.evidence.numbers.get("limit")
    return Reading(
        monitor, finding.id, at, finding.status, finding.on, finding.statistic,
        float(limit) if isinstance(limit, int | float) else None, finding.says or finding.reason or "",
    )  # fmt: skip


def _step(
    plan: ProbePlan,
    store: Store,
    readings: Iterable[Reading],
    trends: Mapping[str, tuple[float, float] | None],
    moment: int,
) -> tuple[dict[str, Alarm], list[Event]]:
    """Step the alarm of each finding, and of the days left where its statistic has a limit."""
    rule = Rule(raise_after=plan.settings.raise_after, clear_after=plan.settings.clear_after)
    states = store.alarms(plan.name)
    alarms: dict[str, Alarm] = {}
    events: list[Event] = []

    def step(series: str, on: bool | None, effect: float, says: str) -> None:
        alarm = Alarm(rule, *states.get(series, (False, 0, 0)))
        what = alarm.step(None if on is None else 0.0 if on else 1.0, large=bool(on))
        alarms[series] = alarm
        if what:
            events.append(Event(plan.name, series, what, moment - plan.every, moment, math.nan, effect, says))

    for reading in readings:
        value = math.nan if reading.statistic is None else reading.statistic
        step(reading.finding, None if reading.status == "unknown" else reading.on, value, reading.says)
        if reading.finding in trends:
            left = trends[reading.finding]
            soon = left is not None and left[0] * DAY < plan.warn_before
            days = math.inf if left is None else left[0]
            step(f"{reading.finding}{TREND}", soon, days, _coming(left, moment, reading.says))
    return alarms, events


def _coming(left: tuple[float, float] | None, moment: int, says: str) -> str:
    """Return in words when the limit is reached."""
    if left is None:
        return f"no end in sight: {says}"
    when = datetime.fromtimestamp(moment, UTC) + timedelta(days=left[0])
    return (
        f"at the present pace its limit is reached in {left[0]:.1f} days (at the earliest {left[1]:.1f}), "
        f"{when:%Y-%m-%d %H:%MZ}: {says}"
    )
