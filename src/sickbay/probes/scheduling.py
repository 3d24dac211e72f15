"""Probes of what keeps tasks from starting: files of pipelines that do not import, pools without slots, long queues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sickbay.probes import failures, night
from sickbay.probes.pipeline import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import BrokenFile, Pool, Task, traceback_chain
from sickbay.terms.evidence import Evidence, LogLines, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

BROKEN = FindingKind("dagfile.broken", says="A file of pipelines cannot be imported.", leak=0.01)
LACKS = FindingKind(
    "dagfile.lacks_package", says="A file of pipelines asks for a package that is not there or does not fit.", leak=0.01
)
WRONG = FindingKind("dagfile.code_wrong", says="The code of a file of pipelines is wrong.", leak=0.01)
UNSET = FindingKind(
    "dagfile.setting_missing", says="A file of pipelines asks for a setting that is not there.", leak=0.01
)
FILES = (BROKEN, LACKS, WRONG, UNSET)
TOPICS = {"import_failed": LACKS, "code_failed": WRONG, "setting_missing": UNSET}


@probe(findings=FILES, seconds=0.3, deadline=20)
def files(airflow: Airflow) -> Iterable[Finding]:
    """Reads which files of pipelines do not import any more, and what their tracebacks say."""
    broken = airflow.import_errors()
    if not broken:
        for kind in FILES:
            yield measured(kind, -CLEAR, statistic=0.0, says="Every file of pipelines can be imported.")
        return
    newest = max(broken, key=lambda one: one.at.timestamp() if one.at else 0.0)
    match = failures.of_chain(traceback_chain(newest.trace)) or failures.of_text(newest.trace)
    last = next((line for line in reversed(newest.trace.splitlines()) if line.strip()), "").strip()
    evidence = Evidence(
        {"files": len(broken)}, [_listed(broken), LogLines(tuple(newest.trace.splitlines()[-8:]), newest.file)]
    )
    told = f"{newest.file}: {(match.said if match else last)[:200]}"
    since = f" since {newest.at:%m-%d %H:%M} UTC" if newest.at else ""
    yield measured(BROKEN, SURE, statistic=float(len(broken)), says=f"{told}{since}.", evidence=evidence)
    found = TOPICS.get(match.signature.speaks_for) if match else None
    for kind in FILES[1:]:
        if found is None:
            yield unknown(kind, f"no data: no signature knows the error of {told}")
        else:
            yield measured(kind, SURE if kind is found else -CLEAR, says=f"{told}.")


def _listed(broken: Sequence[BrokenFile]) -> Rows:
    rows = tuple(
        (one.file, one.at, one.trace.strip().splitlines()[-1][:160] if one.trace.strip() else "") for one in broken[:12]
    )
    return Rows(("file", "since", "says"), rows, "Files that cannot be imported")


FULL = FindingKind(
    "pool.full", says="Every slot of a pool is taken while tasks wait for one.", leak=0.005, unit="share taken"
)
WAITS = FindingKind("pool.tasks_wait", says="Tasks wait far longer than usual for their start.", leak=0.03, unit="s")
PATIENCE = 15.0
"""Seconds that a task may wait for its start in a healthy Airflow under load."""


@probe(findings=[FULL, WAITS], seconds=0.5, deadline=20)
def slots(airflow: Airflow) -> Iterable[Finding]:
    """Reads the pools' slots, and how long tasks of the run in question have waited for theirs."""
    pools = airflow.pools()
    table = Rows(
        ("pool", "slots", "taken", "waiting"), tuple((p.name, p.slots, p.taken, p.waiting) for p in pools[:20]), "Pools"
    )
    yield _full(pools, table)
    seen = night.read(airflow)
    wait, task = _longest_wait(seen.tasks, seen.now)
    if task is None:
        yield measured(WAITS, -LIKELY, statistic=0.0, says="No task waits for its start.")
        return
    usual = _usual_wait(airflow, seen, task.id)
    allowed = max(PATIENCE, 4 * usual)
    ratio = -CLEAR if wait < allowed / 2 else 0.0 if wait < allowed else LIKELY if wait < 2 * allowed else CLEAR
    says = f"{task.id} has waited {wait:.0f} s for a slot of {task.pool or 'its pool'}; usual are {usual:.0f} s."
    yield measured(
        WAITS, ratio, statistic=wait, says=says, evidence=Evidence({"limit": allowed, "usual": usual}, [table])
    )


def _full(pools: Sequence[Pool], table: Rows) -> Finding:
    bounded = [pool for pool in pools if pool.slots >= 0]
    if not bounded:
        return unknown(FULL, "no data: there is no pool with a limit")

    def share(pool: Pool) -> float:
        return pool.taken / pool.slots if pool.slots else 1.0 if pool.waiting else 0.0

    blocked = [pool for pool in bounded if pool.waiting and share(pool) >= 1]
    worst = max(blocked or bounded, key=lambda pool: (share(pool), pool.waiting))
    says = f"Pool {worst.name}: {worst.taken} of {worst.slots} slots are taken, {worst.waiting} tasks wait."
    ratio = SURE if blocked else -0.5 if share(worst) >= 1 else -CLEAR
    return measured(FULL, ratio, statistic=share(worst), says=says, evidence=Evidence({"limit": 1.0}, [table]))


def _longest_wait(tasks: Sequence[Task], now: datetime) -> tuple[float, Task | None]:
    waiting = [task for task in tasks if task.state in ("scheduled", "queued") and (task.scheduled or task.queued)]
    if not waiting:
        return 0.0, None

    def since(task: Task) -> float:
        return (now - (task.scheduled or task.queued or now)).total_seconds()

    longest = max(waiting, key=since)
    return since(longest), longest


def _usual_wait(airflow: Airflow, seen: night.Night, name: str) -> float:
    waits = [
        (task.started - begun).total_seconds()
        for _, tasks in night.good_tasks(airflow, seen, 3)
        for task in tasks
        if task.id == name and task.started and (begun := task.scheduled or task.queued)
    ]
    return max(waits, default=0.0)
