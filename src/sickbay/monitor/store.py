"""What monitors have seen, in SQLite: a profile per pane of time, the state of every alarm, and what happened.

A pane, the alarms' new states and the events it brought are written in one transaction: a process that is killed has
either done a pane wholly or not at all.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sickbay.errors import TableError, UserError
from sickbay.stats import profile_file
from sickbay.stats.alarm import Alarm
from sickbay.stats.estimation import Performance
from sickbay.stats.profile import Profile

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS reference (
    monitor TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, profile BLOB NOT NULL, performance TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS pane (
    monitor TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, profile BLOB NOT NULL,
    performance TEXT NOT NULL, judged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (monitor, start)) STRICT;
CREATE TABLE IF NOT EXISTS alarm (
    monitor TEXT NOT NULL, series TEXT NOT NULL, raised INTEGER NOT NULL, above INTEGER NOT NULL,
    below INTEGER NOT NULL, PRIMARY KEY (monitor, series)) STRICT;
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, monitor TEXT NOT NULL, series TEXT NOT NULL, what TEXT NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, p_value REAL, effect REAL, says TEXT NOT NULL, handed_on INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS reading (
    monitor TEXT NOT NULL, finding TEXT NOT NULL, at INTEGER NOT NULL, status TEXT NOT NULL, is_on INTEGER NOT NULL,
    statistic REAL, bound REAL, says TEXT NOT NULL, PRIMARY KEY (monitor, finding, at)) STRICT;
CREATE INDEX IF NOT EXISTS event_open ON event (handed_on, id);
"""


@dataclass(frozen=True, slots=True)
class Pane:
    """The rows of one stretch of time: [start, end), in whole seconds since 1970, UTC."""

    monitor: str
    start: int
    end: int
    profile: Profile
    performance: Performance
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An alarm raised or cleared, by the window that did it; ``id`` is 0 until it is stored."""

    monitor: str
    series: str
    what: str
    start: int
    end: int
    p_value: float
    effect: float
    says: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a probe on a schedule found at an instant. ``limit``: the value of the statistic at which it ends."""

    monitor: str
    finding: str
    at: int
    status: str
    on: bool
    statistic: float | None
    limit: float | None
    says: str


class Store:
    """One SQLite file; safe to be opened by a reader while a watch writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._con = sqlite3.connect(path, timeout=30, isolation_level=None)
            with ExitStack() as undo:
                undo.callback(self._con.close)
                self._prepare()
                undo.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise UserError(
                f"the store {path} cannot be used: {error}", hint="name another file with --store"
            ) from None

    def _prepare(self) -> None:
        self._con.execute("PRAGMA journal_mode = WAL")
        self._con.execute("PRAGMA synchronous = FULL")
        version = self._con.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise UserError(
                f"{self.path} was written by another release (version {version})", hint="name another --store"
            )
        self._con.executescript(SCHEMA)
        self._con.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._con.close()

    def reference(self, monitor: str, fingerprint: str) -> tuple[Profile, Performance] | None:
        """Return the reference kept for a monitor, if it was taken of the same table."""
        row = self._con.execute(
            "SELECT profile, performance FROM reference WHERE monitor = ? AND fingerprint = ?", (monitor, fingerprint)
        ).fetchone()
        return (_unpack(row[0]), Performance.from_dict(json.loads(row[1]))) if row else None

    def keep_reference(self, monitor: str, fingerprint: str, profile: Profile, performance: Performance) -> None:
        """Keep the reference of a new monitor; UserError when the monitor has another one already."""
        if self._con.execute("SELECT 1 FROM reference WHERE monitor = ?", (monitor,)).fetchone():
            raise UserError(
                f"[monitor.{monitor}] was begun with another reference, slide or set of columns ({self.path})",
                hint="give the monitor a new name: what the old one has seen stays where it is",
            )
        with self._transaction():
            self._con.execute(
                "INSERT INTO reference VALUES (?, ?, ?, ?)",
                (monitor, fingerprint, _pack(profile), json.dumps(performance.to_dict())),
            )

    def last_end(self, monitor: str) -> int | None:
        """Return the end of the newest pane, None before the first."""
        found = self._con.execute("SELECT max(end) FROM pane WHERE monitor = ?", (monitor,)).fetchone()[0]
        return None if found is None else int(found)

    def panes(self, monitor: str, start: int, end: int) -> list[Pane]:
        """Return the panes that lie in [start, end), oldest first."""
        rows = self._con.execute(
            "SELECT start, end, profile, performance, judged FROM pane "
            "WHERE monitor = ? AND start >= ? AND end <= ? ORDER BY start",
            (monitor, start, end),
        ).fetchall()
        return [
            Pane(monitor, a, b, _unpack(profile), Performance.from_dict(json.loads(done)), bool(judged))
            for a, b, profile, done, judged in rows
        ]

    def unjudged(self, monitor: str, since: int) -> list[Pane]:
        """Return the panes since ``since`` whose realised performance was not judged yet."""
        return [pane for pane in self.panes(monitor, since, 2**60) if not pane.judged]

    def add(self, pane: Pane, alarms: Mapping[str, Alarm], events: Sequence[Event]) -> None:
        """Write a pane, the alarms as they stand after it, and its events, all or nothing.

        Raises UserError when the pane is there already: another watch writes to this store.
        """
        try:
            with self._transaction():
                self._con.execute(
                    "INSERT INTO pane VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        pane.monitor,
                        pane.start,
                        pane.end,
                        _pack(pane.profile),
                        json.dumps(pane.performance.to_dict()),
                        0,
                    ),
                )
                self._alarms(pane.monitor, alarms, events)
        except sqlite3.IntegrityError:
            raise UserError(
                f"the window of {text(pane.start)} is in {self.path} already: another watch writes there",
                hint="stop the other one, or name another --store",
            ) from None

    def judge(self, pane: Pane, *, judged: bool, alarms: Mapping[str, Alarm], events: Sequence[Event]) -> None:
        """Write a pane's performance as its labels have come by now, with what followed from it."""
        with self._transaction():
            self._con.execute(
                "UPDATE pane SET performance = ?, judged = ? WHERE monitor = ? AND start = ?",
                (json.dumps(pane.performance.to_dict()), int(judged), pane.monitor, pane.start),
            )
            self._alarms(pane.monitor, alarms, events)

    def alarms(self, monitor: str) -> dict[str, tuple[bool, int, int]]:
        """Return series → raised, windows above, windows below."""
        rows = self._con.execute("SELECT series, raised, above, below FROM alarm WHERE monitor = ?", (monitor,))
        return {series: (bool(raised), above, below) for series, raised, above, below in rows}

    def last_reading(self, monitor: str) -> int | None:
        """Return when the probes of a monitor ran last; None before the first time."""
        found = self._con.execute("SELECT max(at) FROM reading WHERE monitor = ?", (monitor,)).fetchone()[0]
        return None if found is None else int(found)

    def readings(self, monitor: str, finding: str, since: int = 0) -> list[Reading]:
        """Return what was read of one finding since an instant, oldest first."""
        rows = self._con.execute(
            "SELECT at, status, is_on, statistic, bound, says FROM reading"
            " WHERE monitor = ? AND finding = ? AND at >= ? ORDER BY at",
            (monitor, finding, since),
        ).fetchall()
        return [Reading(monitor, finding, row[0], row[1], bool(row[2]), *row[3:]) for row in rows]

    def add_readings(
        self, readings: Sequence[Reading], alarms: Mapping[str, Alarm], events: Sequence[Event], *, forget_before: int
    ) -> None:
        """Write what probes read, the alarms as they stand after it, and the events; forget what is too old."""
        with self._transaction():
            self._con.executemany(
                "INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(r.monitor, r.finding, r.at, r.status, int(r.on), r.statistic, r.limit, r.says) for r in readings],
            )
            for monitor in {reading.monitor for reading in readings}:
                self._con.execute("DELETE FROM reading WHERE monitor = ? AND at < ?", (monitor, forget_before))
                self._alarms(monitor, alarms, events)

    def events(self, *, open_only: bool = False) -> list[Event]:
        """Return what happened, oldest first; ``open_only``: alarms raised that were not handed on yet."""
        where = "WHERE handed_on = 0 AND what = 'raised'" if open_only else ""
        rows = self._con.execute(
            f"SELECT monitor, series, what, start, end, p_value, effect, says, id FROM event {where} ORDER BY id"
        ).fetchall()
        return [Event(*row[:5], *(float("nan") if v is None else v for v in row[5:7]), *row[7:]) for row in rows]

    def handed_on(self, events: Sequence[Event]) -> None:
        """Note that these alarms were handed on."""
        with self._transaction():
            self._con.executemany("UPDATE event SET handed_on = 1 WHERE id = ?", [(event.id,) for event in events])

    def period(self, monitor: str, start: datetime, end: datetime) -> Profile:
        """Return the profile of a period from its panes, without reading the data; TableError when it has none."""
        a, b = (int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) for moment in (start, end))
        panes = self.panes(monitor, a, b)
        if not panes:
            known = [row[0] for row in self._con.execute("SELECT DISTINCT monitor FROM pane")]
            said = f"the store has no window of {monitor!r} between {text(a)} and {text(b)}"
            raise TableError(said, hint=f"monitors there: {', '.join(known) or 'none'}")
        whole = panes[0].profile
        for pane in panes[1:]:
            whole = whole + pane.profile
        return replace(whole, says=f"{monitor}, {text(panes[0].start)} to {text(panes[-1].end)} ({len(panes)} windows)")

    def _alarms(self, monitor: str, alarms: Mapping[str, Alarm], events: Sequence[Event]) -> None:
        self._con.executemany(
            "INSERT OR REPLACE INTO alarm VALUES (?, ?, ?, ?, ?)",
            [(monitor, series, int(a.raised), a.above, a.below) for series, a in alarms.items()],
        )
        self._con.executemany(
            "INSERT INTO event (monitor, series, what, start, end, p_value, effect, says) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(e.monitor, e.series, e.what, e.start, e.end, e.p_value, e.effect, e.says) for e in events],
        )

    def _transaction(self) -> _Transaction:
        return _Transaction(self._con)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when the body raises."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con

    def __enter__(self) -> None:
        self._con.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._con.execute("COMMIT" if kind is None else "ROLLBACK")


def text(seconds: int) -> str:
    """Return an instant as 2026-01-05 03:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


def _pack(profile: Profile) -> bytes:
    return zlib.compress(profile_file.dumps(profile).encode())


def _unpack(data: bytes) -> Profile:
    return profile_file.from_dict(json.loads(zlib.decompress(data)), key="the store")
