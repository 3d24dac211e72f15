"""Probes of pipelines: what was not delivered, and the parts of the scheduler that should have delivered it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sickbay.errors import SourceError
from sickbay.probes import night
from sickbay.probes.night import Night, Pipeline
from sickbay.registry import probe
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import Part, Task, parts
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SURE, CLEAR, LIKELY = 4.2, 3.0, 1.8
"""Log ratios of what was seen plainly, of what is hardly anything else, and of what is likelier than not."""

WAITING = 5.0
"""Seconds after which a task that is ready and not started is no mere pause of the scheduler."""

NOT_DELIVERED = FindingKind(
    "pipeline.not_delivered", says="A pipeline's last run failed, hangs, or never started.", leak=0.02
)
TASK_FAILED = FindingKind(
    "pipeline.task_failed", says="A task failed by itself, not only for want of its inputs.", leak=0.02
)
STUCK = FindingKind(
    "pipeline.run_stuck", says="A run takes far longer than any good one before it.", leak=0.03, unit="times as long"
)
OVERDUE = FindingKind("pipeline.run_overdue", says="A run that is due was not started.", leak=0.02)
PAUSED = FindingKind("pipeline.paused", says="A pipeline whose run is due is paused.", leak=0.01)
RUNS = (NOT_DELIVERED, TASK_FAILED, STUCK, OVERDUE, PAUSED)


@probe(findings=RUNS, seconds=0.5, deadline=20)
def runs(airflow: Airflow) -> Iterable[Finding]:
    """Reads the last runs of every pipeline, and finds the task that failed behind those that only waited for it."""
    seen = night.read(airflow)
    focus = seen.focus
    assert focus is not None
    evidence = Evidence({"pipelines": len(seen.pipelines), "sick": sum(p.sick for p in seen.pipelines)}, _tables(seen))
    ratio = _undelivered(airflow, seen, focus)
    if focus.state == "never ran":
        yield unknown(NOT_DELIVERED, f"no data: {focus.dag.id} has not run yet")
    else:
        yield measured(NOT_DELIVERED, ratio, statistic=float(len(focus.bad)), says=_told(focus), evidence=evidence)
    yield _failed(seen)
    yield _stuck(focus, seen.now)
    overdue = [p.dag.id for p in seen.pipelines if p.state in ("overdue", "paused")]
    told = f"Due and not started: {', '.join(overdue)}." if overdue else "No run is due and missing."
    yield measured(OVERDUE, CLEAR if overdue else -LIKELY, statistic=float(len(overdue)), says=told)
    paused = [p.dag.id for p in seen.pipelines if p.state == "paused"]
    told = f"Paused, with a run due: {', '.join(paused)}." if paused else "No pipeline whose run is due is paused."
    yield measured(PAUSED, SURE if paused else -CLEAR, statistic=float(len(paused)), says=told)


def _undelivered(airflow: Airflow, seen: Night, focus: Pipeline) -> float:
    """Return how loudly it speaks for a run that will not deliver; a run under way may still, unless nobody runs it."""
    sure = {
        "failing": SURE, "stuck": LIKELY, "retrying": LIKELY, "overdue": CLEAR, "broken file": CLEAR, "paused": CLEAR,
    }  # fmt: skip
    if focus.state != "active":
        return sure.get(focus.state, -SURE)
    body = airflow.health().body
    beating = {part.name: part.status for part in parts(body)} if isinstance(body, dict) else {}
    if beating.get("scheduler") == "unhealthy":
        return CLEAR
    waits = [(seen.now - t.scheduled).total_seconds() for t in seen.tasks if t.state == "scheduled" and t.scheduled]
    if max(waits, default=0.0) > WAITING:
        return 0.7
    return 0.0 if waits or night.slowness(focus.runs, seen.now) > 1.5 else -CLEAR


def _told(focus: Pipeline) -> str:
    name, bad = focus.dag.id, focus.bad
    good = focus.good
    last = f"; the last good run ended {_clock(good.ended)}" if good else "; no good run is known"
    if focus.state == "failing":
        first = bad[-1]
        times = "run has" if len(bad) == 1 else f"{len(bad)} runs have"
        return f"{name}: {times} failed since {_clock(first.started or first.after)}{last}."
    if focus.state in ("stuck", "active", "retrying"):
        begun = focus.runs[0].started or focus.runs[0].queued
        doing = {"stuck": "hangs", "active": "is under way", "retrying": "is being retried"}[focus.state]
        return f"{name}: the run begun {_clock(begun)} {doing}{last}."
    if focus.state == "overdue":
        return f"{name}: the run due {_clock(focus.dag.next_run)} was not started{last}."
    if focus.state == "paused":
        return f"{name} is paused, and the run due {_clock(focus.dag.next_run)} was not started{last}."
    if focus.state == "broken file":
        return f"{name}: its file cannot be imported, so that it cannot run{last}."
    return f"Every pipeline's last run succeeded; {name}: {_clock(good.ended) if good else 'never'}."


def _failed(seen: Night) -> Finding:
    culprit, focus = seen.culprit, seen.focus
    if culprit is None:
        if focus is not None and focus.state in ("active", "stuck"):
            says = "The run is under way, and none of its tasks has failed so far."
            return measured(TASK_FAILED, -1.0, statistic=0.0, says=says)
        failing = focus is not None and focus.state == "failing"
        says = "The run failed, and none of its tasks did." if failing else "No task failed."
        return measured(TASK_FAILED, -LIKELY, statistic=0.0, says=says)
    behind = sum(task.state == "upstream_failed" for task in seen.tasks)
    waiting = f"; {behind} behind it only lack its result" if behind else ""
    tried = f"after {culprit.tries} tries" if culprit.tries > 1 else "at its first try"
    ended = f" at {_clock(culprit.ended)}" if culprit.ended and culprit.state == "failed" else ""
    says = f"{culprit.dag}.{culprit.id} {_word(culprit)} {tried}{ended}{waiting}."
    ratio = SURE if culprit.state == "failed" else LIKELY
    return measured(
        TASK_FAILED, ratio, statistic=float(culprit.tries), says=says, evidence=Evidence({}, [_tasks(seen)])
    )


def _word(task: Task) -> str:
    return "failed" if task.state == "failed" else "failed and is tried again,"


def _stuck(focus: Pipeline, now: datetime) -> Finding:
    if not focus.runs or focus.runs[0].ended is not None:
        return measured(STUCK, -CLEAR, statistic=0.0, says="No run is under way.")
    times = night.slowness(focus.runs, now)
    if not times:
        return unknown(STUCK, "no data: no good run to compare with")
    ratio = -CLEAR if times < 1.5 else 0.0 if times < 4 else LIKELY if times < 8 else CLEAR
    begun = focus.runs[0].started or focus.runs[0].queued
    says = f"{focus.dag.id} runs since {_clock(begun)}, {times:.1f} times the longest good run."
    return measured(STUCK, ratio, statistic=times, says=says, evidence=Evidence({"limit": 4.0}))


def _tables(seen: Night) -> list[Rows]:
    rows = [
        (p.dag.id, p.state, len(p.bad), _clock(p.good.ended) if p.good else "", _clock(p.dag.next_run))
        for p in seen.pipelines[:12]
    ]
    return [
        Rows(("pipeline", "state", "runs since the last good one", "last good", "next due"), tuple(rows), "Pipelines")
    ]


def _tasks(seen: Night) -> Rows:
    ordered = sorted(seen.tasks, key=lambda t: (t.started or t.scheduled or seen.now, t.state != "failed", t.id))
    rows = tuple((t.id, t.state, t.tries, _clock(t.started), t.seconds) for t in ordered[:20])
    return Rows(("task", "state", "tries", "started", "seconds"), rows, f"Tasks of {seen.run.id if seen.run else ''}")


def _clock(when: datetime | None) -> str:
    return f"{when:%m-%d %H:%M} UTC" if when else "never"


SILENT = FindingKind("pipeline.server_silent", says="Airflow's server does not answer.", leak=0.02)
SCHEDULER = FindingKind("pipeline.scheduler_silent", says="The scheduler gives no heartbeat.", leak=0.005)
PROCESSOR = FindingKind("pipeline.dag_processor_silent", says="Nothing reads the pipelines' files any more.", leak=0.01)
METADATA = FindingKind("pipeline.metadata_away", says="Airflow cannot reach its own database.", leak=0.01)
PARTS = {"scheduler": SCHEDULER, "dag_processor": PROCESSOR, "metadatabase": METADATA}


@probe(findings=[SILENT, *PARTS.values()], seconds=0.2, deadline=20)
def health(airflow: Airflow) -> Iterable[Finding]:
    """Reads the body of Airflow's health page: its status is 200 also when every part is dead."""
    reply = airflow.health()
    if reply.state in ("refused", "closed", "timed out", "unresolved", "unreachable"):
        yield measured(SILENT, SURE if reply.state != "unreachable" else LIKELY, says=f"{reply.says}.")
        for kind in PARTS.values():
            yield unknown(kind, f"unreachable: {reply.says}")
        return
    if reply.state == "certificate" or reply.status in (401, 403):
        raise SourceError(f"forbidden: {reply.says}")
    if reply.status >= 500:
        yield measured(SILENT, CLEAR, says=f"{reply.says}.")
        for kind in PARTS.values():
            yield unknown(kind, f"unreachable: {reply.says}")
        return
    body = reply.body
    if not isinstance(body, dict) or "scheduler" not in body:
        raise SourceError(f"garbled: {reply.says}: what answers there is no Airflow")
    yield measured(SILENT, -SURE, says=f"{reply.says}.")
    found = {part.name: part for part in parts(body)}
    away = found["metadatabase"].status == "unhealthy" if "metadatabase" in found else False
    for name, kind in PARTS.items():
        yield _part(kind, found.get(name), airflow.now, away and name != "metadatabase")


def _part(kind: FindingKind, part: Part | None, now: datetime, blind: bool) -> Finding:
    if part is None or not part.status:
        return unknown(kind, "not applicable: this Airflow does not tell of that part")
    if blind:
        return unknown(kind, "no data: without its database Airflow does not know its heartbeats")
    since = f", its last heartbeat {max(0.0, (now - part.beat).total_seconds()):.0f} s ago" if part.beat else ""
    ill = part.status != "healthy"
    return measured(kind, SURE if ill else -SURE, says=f"{part.name} is {part.status}{since}.")
