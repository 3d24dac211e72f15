"""The past of a lab's Airflow: runs that it really made, moved to the nights they stand for.

A week of nights cannot be waited for. They are run once, one after the other, kept in the cache, and a start copies
them: every time in Airflow's database and in its task logs is moved, run by run, to the night of the run. What a run
did, how long it took and what it said stays as it was. ``forget`` takes a night back, so that it can be run again.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

TIMES = re.compile(r"TIMESTAMP|DATETIME", re.IGNORECASE)
PLANNED = ("logical_date", "run_after", "data_interval_start", "data_interval_end")
TEXTS = {"xcom": "value", "rendered_task_instance_fields": "rendered_fields"}
FORM = "%Y-%m-%d %H:%M:%S.%f"
LATENESS = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Moved:
    """A run of the past, and the time that it is to have been planned for."""

    dag: str
    run: str
    planned: datetime

    @property
    def name(self) -> str:
        """Its new run id, as the scheduler would have named it."""
        return f"scheduled__{self.planned.isoformat()}"


@contextmanager
def opened(home: Path) -> Iterator[sqlite3.Connection]:
    """Open Airflow's database; what was done is kept when nothing failed."""
    with closing(sqlite3.connect(home / "airflow.db", timeout=30)) as con, con:
        yield con


def stored(time: datetime) -> str:
    """Return a time as Airflow writes it into SQLite."""
    return time.astimezone(UTC).strftime(FORM)


def runs(home: Path, dag: str) -> dict[str, str]:
    """Return run id → state of a DAG's runs, oldest first."""
    with opened(home) as con:
        return dict(con.execute("SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY run_after", [dag]))


def tasks(home: Path, dag: str, run: str) -> dict[str, str]:
    """Return task → state of a run."""
    with opened(home) as con:
        found = con.execute("SELECT task_id, state FROM task_instance WHERE dag_id = ? AND run_id = ?", [dag, run])
        return {task: state or "" for task, state in found}


def heartbeat(home: Path) -> datetime:
    """Return when a scheduler last gave a sign of life."""
    with opened(home) as con:
        found = con.execute("SELECT max(latest_heartbeat) FROM job WHERE job_type = 'SchedulerJob'").fetchone()[0]
    return _time(found) if found else datetime.min.replace(tzinfo=UTC)


def plan(home: Path, dag: str, at: datetime) -> None:
    """Let the scheduler's next run of a DAG be the one of ``at``."""
    time = stored(at)
    with opened(home) as con:
        con.execute(
            "UPDATE dag SET next_dagrun = ?, next_dagrun_data_interval_start = ?, next_dagrun_data_interval_end = ?, "
            "next_dagrun_create_after = ? WHERE dag_id = ?",
            [time, time, time, time, dag],
        )


def forget(home: Path, dag: str, run: str) -> None:
    """Take a run back, with its tasks, its logs and what the audit log says of it."""
    with opened(home) as con:
        for table, columns in _tables(con).items():
            if "run_id" in columns and "dag_id" in columns and table != "dag_run":
                con.execute(f"DELETE FROM {table} WHERE dag_id = ? AND run_id = ?", [dag, run])
        con.execute("DELETE FROM dag_run WHERE dag_id = ? AND run_id = ?", [dag, run])
    shutil.rmtree(home / "logs" / f"dag_id={dag}" / f"run_id={run}", ignore_errors=True)


def forget_audit(home: Path, since: datetime) -> None:
    """Take back what the audit log says since a time."""
    with opened(home) as con:
        con.execute("DELETE FROM log WHERE dttm >= ?", [stored(since)])


def move(home: Path, past: Sequence[Moved], words: Mapping[str, str], timezone_days: Mapping[str, str]) -> None:
    """Move runs to the times they stand for.

    ``words``: text → text to be put in its place wherever runs speak of it (directories, ports). ``timezone_days``: run
    id → new day that it loaded, with the old one before it, as ``old>new``.
    """
    with opened(home) as con:
        tables = _tables(con)
        for run in past:
            began = con.execute(
                "SELECT start_date FROM dag_run WHERE dag_id = ? AND run_id = ?", [run.dag, run.run]
            ).fetchone()[0]
            by = run.planned + LATENESS - _time(began)
            old, new = timezone_days[run.run].split(">")
            change = {**words, run.run: run.name, old: new}
            for table, columns in tables.items():
                if "run_id" in columns and "dag_id" in columns:
                    _move_rows(con, table, columns, run, by, change)
            _move_logs(home, run, by, change)
        plain = "UPDATE dag_run SET run_type = 'scheduled', backfill_id = NULL, triggered_by = 'TIMETABLE', conf = NULL"
        con.execute(plain)
        for table in ("backfill_dag_run", "backfill", "job"):
            con.execute(f"DELETE FROM {table}")
        con.execute("DELETE FROM log WHERE run_id IS NULL")


def settle(home: Path, since: datetime) -> None:
    """Let all runs be of the newest version of their DAG's code, known since ``since``, and of no other."""
    with opened(home) as con:
        newest = dict(con.execute("SELECT dag_id, id FROM dag_version ORDER BY created_at"))
        for dag, version in newest.items():
            for table, column in (
                ("task_instance", "dag_version_id"), ("task_instance_history", "dag_version_id"),
                ("dag_run", "created_dag_version_id"),
            ):  # fmt: skip
                con.execute(f"UPDATE {table} SET {column} = ? WHERE dag_id = ?", [version, dag])
            others = "SELECT id FROM dag_version WHERE dag_id = ? AND id <> ?"
            for table in ("serialized_dag", "dag_code"):
                con.execute(f"DELETE FROM {table} WHERE dag_version_id IN ({others})", [dag, version])
            con.execute("DELETE FROM dag_version WHERE dag_id = ? AND id <> ?", [dag, version])
        at = stored(since)
        con.execute("UPDATE dag_version SET version_number = 1, created_at = ?, last_updated = ?", [at, at])
        con.execute("UPDATE dag_code SET created_at = ?, last_updated = ?", [at, at])
        con.execute("UPDATE serialized_dag SET created_at = ?, last_updated = ?", [at, at])


def _tables(con: sqlite3.Connection) -> dict[str, dict[str, str]]:
    names = [name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: {row[1]: row[2] for row in con.execute(f"PRAGMA table_info({name})")} for name in names}


def _move_rows(
    con: sqlite3.Connection,
    table: str,
    columns: Mapping[str, str],
    run: Moved,
    by: timedelta,
    change: Mapping[str, str],
) -> None:
    times = [name for name, kind in columns.items() if TIMES.search(kind)]
    text = TEXTS.get(table, "")
    wanted = [*times, *([text] if text in columns else [])]
    where = "dag_id = ? AND run_id = ?"
    rows = con.execute(f"SELECT rowid{''.join(f', {name}' for name in wanted)} FROM {table} WHERE {where}",
                       [run.dag, run.run]).fetchall()  # fmt: skip
    for rowid, *values in rows:
        new: dict[str, object] = {"run_id": run.name}
        for name, value in zip(wanted, values, strict=True):
            if value is None:
                continue
            if name in PLANNED:
                new[name] = stored(run.planned)
            elif name in times:
                new[name] = stored(_time(value) + by)
            else:
                new[name] = _replaced(value, change)
        if table == "dag_run":
            new["queued_at"] = stored(run.planned + LATENESS / 2)
        given = ", ".join(f"{name} = ?" for name in new)
        con.execute(f"UPDATE {table} SET {given} WHERE rowid = ?", [*new.values(), rowid])


def _move_logs(home: Path, run: Moved, by: timedelta, change: Mapping[str, str]) -> None:
    base = home / "logs" / f"dag_id={run.dag}"
    old, new = base / f"run_id={run.run}", base / f"run_id={run.name}"
    if not old.is_dir():
        return
    if old != new:
        old.rename(new)
    for log in new.rglob("*.log"):
        lines = []
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(_replaced(line, change))
                if "timestamp" in entry:
                    entry["timestamp"] = (_time(json.loads(line)["timestamp"]) + by).isoformat().replace("+00:00", "Z")
                lines.append(json.dumps(entry))
            except ValueError:
                lines.append(_replaced(line, change))
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _replaced(text: str, change: Mapping[str, str]) -> str:
    pattern = re.compile("|".join(re.escape(old) for old in sorted(change, key=len, reverse=True)))
    return pattern.sub(lambda found: change[found[0]], text)


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
