"""The deadline of what hangs on a pipeline: what will be late, and what each way out costs in time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from sickbay.errors import SiteFileError, SourceError
from sickbay.probes import failures, night
from sickbay.probes.pipeline import CLEAR
from sickbay.registry import probe
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import Run, Task
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

AT_RISK = FindingKind(
    "deadline.at_risk", says="What starts at the deadline will lack its data.", leak=0.03, unit="min to spare"
)
WRITTEN = re.compile(r"^(\d{1,2}):(\d\d)(?:\s+(\S+))?$")
PASSING = ("http_failed", "name_unresolved", "database_failed")
"""Errors that may pass by themselves: running again without a repair can help."""
BY_HAND = timedelta(minutes=5)
"""Assumed for a person to mark data or to pause a schedule; everything else is learned from earlier runs."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way out: what is done, how long it takes until the next step may start, and what it costs besides."""

    act: str
    seconds: float
    basis: str
    costs: str


@probe(findings=[AT_RISK], seconds=0.6, deadline=20)
def deadline(airflow: Airflow) -> Iterable[Finding]:
    """Sets the time that a rerun needs, learned from earlier good runs, against the time left to the deadline."""
    seen = night.read(airflow)
    focus = seen.focus
    assert focus is not None
    due = next_deadline(airflow.deadline, airflow.now)
    if due is None:
        why = 'no data: [source.airflow] names no deadline; deadline = "06:00" does'
        if not focus.sick:
            yield unknown(AT_RISK, why)
            return
        table = _table(_ways(seen, night.good_tasks(airflow, seen)), None, airflow.now)
        yield unknown(AT_RISK, why, evidence=Evidence({}, [table] if table else []))
        return
    left = (due - airflow.now).total_seconds()
    if not focus.sick:
        yield _unharmed(seen, due, left)
        return
    ways = _ways(seen, night.good_tasks(airflow, seen))
    rerun = next((way for way in ways if way.act.startswith("rerun from")), ways[-1])
    spare = (left - rerun.seconds) / 60
    table = _table(ways, due, airflow.now)
    ratio = 4.2 if spare < 0 else CLEAR if spare < 60 else 1.8
    latest = due - timedelta(seconds=rerun.seconds)
    numbers = {"limit": 0.0, "minutes_left": round(left / 60, 1), "rerun_minutes": round(rerun.seconds / 60, 1)}
    says = f"Until {due:%H:%M} UTC {_length(left)} are left; {_decision(airflow, seen, rerun, left, latest)}"
    yield measured(AT_RISK, ratio, statistic=spare, says=says, evidence=Evidence(numbers, [table] if table else []))


def next_deadline(text: str, now: datetime) -> datetime | None:
    """Return the next instant at which a clock shows ``06:00`` or ``06:00 Europe/Berlin``; None for no text."""
    if not text:
        return None
    found = WRITTEN.match(text.strip())
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise SiteFileError(f"'source.airflow.deadline' is no time of day: {text!r}", hint='"06:00 Europe/Berlin"')
    zone: tzinfo = UTC
    if found[3]:
        try:
            zone = ZoneInfo(found[3])
        except (ZoneInfoNotFoundError, ValueError):
            raise SiteFileError(
                f"'source.airflow.deadline' names no time zone: {found[3]!r}", hint='"Europe/Berlin"'
            ) from None
    local = now.astimezone(zone)
    due = local.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
    if due <= local:
        due += timedelta(days=1)
    return due.astimezone(UTC)


def _unharmed(seen: night.Night, due: datetime, left: float) -> Finding:
    focus = seen.focus
    usual = max(focus.usual, default=0.0) if focus else 0.0
    running = focus is not None and focus.state == "active"
    begun = (seen.run.started or seen.run.queued) if seen.run else None
    needs = max(0.0, usual - (seen.now - begun).total_seconds()) if running and begun else 0.0
    spare = (left - needs) / 60
    says = f"Until {due:%H:%M} UTC {_length(left)} are left" + (
        f"; the run under way usually needs {_length(needs)} more." if running else ", and the data is there."
    )
    ratio = -CLEAR if spare > 0 else 0.5
    return measured(AT_RISK, ratio, statistic=spare, says=says, evidence=Evidence({"limit": 0.0}))


def _ways(seen: night.Night, good: Sequence[tuple[Run, list[Task]]]) -> list[Way]:
    focus = seen.focus
    assert focus is not None
    old = focus.good.ended if focus.good else None
    age = f"{(seen.now - old).total_seconds() / 3600:.0f} h old" if old else "of unknown age"
    hand = BY_HAND.total_seconds()
    ways = [
        Way("yesterday's data, marked as such", hand, "assumed", f"the model learns from data {age}"),
        Way("suspend today's training, keep the model", hand, "assumed", "the model stays a day older"),
    ]
    partial = _remaining(seen.culprit, good) if seen.culprit else []
    if partial and seen.culprit:
        basis = f"90 % of {len(partial)} good runs"
        act = f"rerun from {seen.culprit.id} on, once repaired"
        ways.append(Way(act, _ninety(partial), basis, "what came before it is used as it is"))
    whole = [run.seconds for run, _ in good if run.seconds is not None] or list(focus.usual)
    if whole:
        basis = f"90 % of {len(whole)} good runs"
        ways.append(Way("rerun all, once repaired", _ninety(whole), basis, "load on the sources, a second time"))
    if not partial and not whole:
        raise SourceError("no data: no good run is known to learn durations from")
    return ways


def _remaining(culprit: Task, good: Sequence[tuple[Run, list[Task]]]) -> list[float]:
    """Return for each good run the seconds from the start of the failed task to the end of the run."""
    found = []
    for run, tasks in good:
        start = next((t.started for t in tasks if t.id == culprit.id and t.started), None)
        if start is not None and run.ended is not None and run.ended >= start:
            found.append((run.ended - start).total_seconds())
    return found


def _ninety(seconds: Sequence[float]) -> float:
    return float(np.quantile(np.asarray(seconds), 0.9))


def _table(ways: Sequence[Way], due: datetime | None, now: datetime) -> Rows | None:
    if not ways:
        return None
    rows = []
    for way in ways:
        latest = f"{due - timedelta(seconds=way.seconds):%H:%M} UTC" if due else ""
        late = "late already" if due and now + timedelta(seconds=way.seconds) > due else latest
        rows.append((way.act, _length(way.seconds), late, way.basis, way.costs))
    return Rows(("way out", "takes", "begin by", "known from", "costs"), tuple(rows), "Ways out, and their time")


def _decision(airflow: Airflow, seen: night.Night, rerun: Way, left: float, latest: datetime) -> str:
    """Return what the numbers speak for, in a sentence."""
    if rerun.seconds > left:
        return (
            f"a rerun takes {_length(rerun.seconds)} and comes too late: give training yesterday's data, marked as "
            "such, or suspend it."
        )
    again = f"a rerun takes {_length(rerun.seconds)}, so the repair must be done by {latest:%H:%M} UTC"
    if _passing(airflow, seen):
        return f"{again}; the error may pass: rerun now, automatically, and repair by hand if that fails twice."
    return f"{again}, by hand; after that, yesterday's data, marked as such, or no training today."


def _passing(airflow: Airflow, seen: night.Night) -> bool:
    if seen.culprit is None:
        return False
    try:
        match = failures.of_log(night.log(airflow), frozenset(night.good_lines(airflow, seen)))
    except SourceError:
        return False
    return match is not None and match.signature.speaks_for in PASSING


def _length(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1.5:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
