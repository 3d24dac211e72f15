"""What Airflow's REST interfaces tell, as nouns: v2 (Airflow 3) and v1 (Airflow 2) read into the same shapes."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

UNFINISHED = ("running", "queued", "scheduled", "restarting", "deferred", "up_for_reschedule", "up_for_retry")
ROUTINE = (
    "running", "success", "failed", "up_for_retry", "up_for_reschedule", "queued", "scheduled", "deferred", "skipped",
    "upstream_failed", "restarting", "removed", "state mismatch", "heartbeat timeout", "cli_task_run", "cli_run",
    "trigger_dag_run", "grid", "graph", "task", "log", "get_logs_with_metadata",
)  # fmt: skip
"""What the event log holds of every task and every look at a page."""
RAISED = re.compile(
    r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Timeout|Conflict|Found)\w*)"
    r"(?:: (?P<value>.*))?$"
)
FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)$')
LINKED = ("The above exception was the direct cause", "During handling of the above exception")


@dataclass(frozen=True, slots=True)
class Dag:
    """A pipeline as the scheduler knows it."""

    id: str
    paused: bool
    stale: bool
    has_import_errors: bool
    next_run: datetime | None
    file: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pipeline; ``version`` is the newest version of the code in it, None where there are none."""

    dag: str
    id: str
    state: str
    kind: str
    after: datetime | None
    queued: datetime | None
    started: datetime | None
    ended: datetime | None
    version: int | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


@dataclass(frozen=True, slots=True)
class Task:
    """One task of one run, as its latest try left it. ``tries`` counts from 1; 0 when it was never tried."""

    dag: str
    run: str
    id: str
    index: int
    state: str
    tries: int
    retries: int
    scheduled: datetime | None
    queued: datetime | None
    started: datetime | None
    ended: datetime | None
    host: str
    pid: int | None
    pool: str

    @property
    def seconds(self) -> float | None:
        """How long its latest try took; None while it runs or when it never did."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended and self.tries else None


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception of a chain: its type without the module, its text, and the frames (file, line, function)."""

    type: str
    value: str
    frames: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a task's log. ``raised``: its chain of exceptions, the outermost first, the root cause last."""

    text: str
    level: str = ""
    at: datetime | None = None
    logger: str = ""
    raised: tuple[Raised, ...] = ()
    signal: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file of pipelines that cannot be imported, with its traceback."""

    file: str
    at: datetime | None
    trace: str


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the event log: what a person or the scheduler did."""

    at: datetime | None
    what: str
    dag: str
    run: str
    task: str
    owner: str
    extra: str


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of slots that bounds how many tasks run at once."""

    name: str
    slots: int
    taken: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of Airflow as its health page tells; ``status`` is empty for a part that is not deployed."""

    name: str
    status: str
    beat: datetime | None


def instant(value: object) -> datetime | None:
    """Return an instant of the interface in UTC; None where there is none."""
    if not isinstance(value, str) or not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def dag(row: Mapping[str, Any]) -> Dag:
    """Read one DAG."""
    stale = row.get("is_stale", not row.get("is_active", True))
    following = row.get("next_dagrun_run_after") or row.get("next_dagrun_create_after")
    return Dag(
        str(row.get("dag_id", "")), bool(row.get("is_paused")), bool(stale), bool(row.get("has_import_errors")),
        instant(following), str(row.get("fileloc") or ""),
    )  # fmt: skip


def run(row: Mapping[str, Any]) -> Run:
    """Read one run."""
    versions = [int(v.get("version_number") or 0) for v in row.get("dag_versions") or []]
    after = row.get("run_after") or row.get("data_interval_end") or row.get("logical_date") or row.get("execution_date")
    return Run(
        str(row.get("dag_id", "")), str(row.get("dag_run_id", "")), str(row.get("state") or ""),
        str(row.get("run_type") or ""), instant(after), instant(row.get("queued_at")), instant(row.get("start_date")),
        instant(row.get("end_date")), max(versions) if versions else None,
    )  # fmt: skip


def task(row: Mapping[str, Any]) -> Task:
    """Read one task instance."""
    index, pid = row.get("map_index"), row.get("pid")
    return Task(
        str(row.get("dag_id", "")), str(row.get("dag_run_id", "")), str(row.get("task_id", "")),
        -1 if index is None else int(index), str(row.get("state") or ""), int(row.get("try_number") or 0),
        int(row.get("max_tries") or 0), instant(row.get("scheduled_when")), instant(row.get("queued_when")),
        instant(row.get("start_date")), instant(row.get("end_date")), str(row.get("hostname") or ""),
        int(pid) if pid is not None else None, str(row.get("pool") or ""),
    )  # fmt: skip


def event(row: Mapping[str, Any]) -> Event:
    """Read one entry of the event log."""
    return Event(
        instant(row.get("when")), str(row.get("event") or ""), str(row.get("dag_id") or ""),
        str(row.get("run_id") or ""), str(row.get("task_id") or ""), str(row.get("owner") or ""),
        str(row.get("extra") or ""),
    )  # fmt: skip


def broken_file(row: Mapping[str, Any]) -> BrokenFile:
    """Read one import error."""
    return BrokenFile(str(row.get("filename") or ""), instant(row.get("timestamp")), str(row.get("stack_trace") or ""))


def pool(row: Mapping[str, Any]) -> Pool:
    """Read one pool."""
    waiting = int(row.get("scheduled_slots") or 0) + int(row.get("queued_slots") or 0)
    taken = int(row.get("running_slots") or 0) + int(row.get("queued_slots") or 0) + int(row.get("deferred_slots") or 0)
    return Pool(
        str(row.get("name") or ""), int(row.get("slots") or 0), max(taken, int(row.get("occupied_slots") or 0)), waiting
    )


def parts(body: Mapping[str, Any]) -> list[Part]:
    """Read the health page, whose HTTP status says nothing: it is 200 when everything is dead."""
    found = []
    for name, part in body.items():
        if isinstance(part, Mapping):
            beats = [instant(value) for key, value in part.items() if key.startswith("latest_")]
            found.append(Part(name, str(part.get("status") or ""), beats[0] if beats else None))
    return found


def log_lines(content: object) -> list[LogLine]:
    """Read a task's log: v2's structured lines, or v1's text (a list of pairs written as a Python literal)."""
    if isinstance(content, list):
        return [_structured(row) for row in content if isinstance(row, Mapping)]
    text = str(content or "")
    if text.startswith("[("):
        with contextlib.suppress(ValueError, SyntaxError, TypeError):  # then it is read as it stands
            text = "\n".join(str(part) for _, part in ast.literal_eval(text))
    return _from_text(text)


def _structured(row: Mapping[str, Any]) -> LogLine:
    chain = tuple(_raised(link) for link in row.get("error_detail") or [] if isinstance(link, Mapping))
    code = row.get("exit_code")
    return LogLine(
        str(row.get("event") or ""), str(row.get("level") or ""), instant(row.get("timestamp")),
        str(row.get("logger") or ""), chain, str(row.get("signal_name") or ""),
        int(code) if isinstance(code, int) else None,
    )  # fmt: skip


def _raised(link: Mapping[str, Any]) -> Raised:
    frames = tuple(
        (str(f.get("filename")), int(f.get("lineno") or 0), str(f.get("name"))) for f in link.get("frames") or []
    )
    return Raised(str(link.get("exc_type") or "").rpartition(".")[2], str(link.get("exc_value") or ""), frames)


def _from_text(text: str) -> list[LogLine]:
    lines = [
        LogLine(line, _level(line), instant(line[1:29].strip("[]")) if line.startswith("[") else None)
        for line in text.splitlines()
    ]
    chain = traceback_chain(text)
    if chain:
        lines.append(LogLine("Task failed with exception", "error", raised=chain))
    return lines


def _level(line: str) -> str:
    found = re.search(r"\b(ERROR|CRITICAL|WARNING|INFO|DEBUG)\b", line[:120])
    return found[1].lower() if found else ""


def traceback_chain(text: str) -> tuple[Raised, ...]:
    """Return the chain of the last traceback in a text, the outermost exception first; empty when there is none."""
    blocks = _blocks(text.splitlines())
    return tuple(reversed(blocks))


def _blocks(lines: Iterable[str]) -> list[Raised]:
    """Return the exceptions of the last traceback in the order they stand there: the root cause first."""
    chain: list[Raised] = []
    frames: list[tuple[str, int, str]] = []
    inside = linked = False
    for line in lines:
        if line.rstrip().endswith("Traceback (most recent call last):"):
            if not linked:
                chain = []
            inside, linked, frames = True, False, []
        elif any(mark in line for mark in LINKED):
            linked = True
        elif inside and (found := FRAME.match(line)):
            frames.append((found["file"], int(found["line"]), found["name"]))
        elif inside and line and not line[0].isspace() and (raised := RAISED.match(line.strip())):
            chain.append(Raised(raised["type"].rpartition(".")[2], raised["value"] or "", tuple(frames)))
            inside = False
    return chain
