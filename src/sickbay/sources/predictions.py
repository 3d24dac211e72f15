"""The prediction log of one model and the reference it was accepted on, as windows of rows with known roles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np

from sickbay.config import Model, choose_model
from sickbay.errors import SourceError, TableError
from sickbay.registry import source
from sickbay.sources import roles
from sickbay.sources.context import Check, Context
from sickbay.sources.once import Once
from sickbay.sources.tables import Opened, connection, open_table, plain, quote, source_error
from sickbay.sources.views import view

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

T = TypeVar("T")
Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["number", "category"]

FUTURE_TOLERANCE = timedelta(hours=1)
CHUNK = 100
"""Columns aggregated in one query; more columns mean more queries, each reading only its own columns."""
CELLS = 1_500_000
"""Upper bound of rows × columns of one sample: keeps memory flat when tables are wide."""


@dataclass(slots=True)
class Window:
    """Rows of the log or the reference between two instants; what statistics call a table."""

    log: PredictionLog
    view: str
    kinds: Mapping[str, Kind]
    roles: frozenset[str]
    start: datetime | None = None
    end: datetime | None = None
    name: str = ""

    def query(self, select: exp.Expression) -> dict[str, Array]:
        """Run a portable expression over the rows of this window."""
        sql = select.sql(dialect="duckdb", identify=True)
        return self.log.fetch(f"WITH rows AS NOT MATERIALIZED ({self._rows()}) {sql}")

    @property
    def whole(self) -> frozenset[str]:
        """The log casts every number to a double: none is known to be whole."""
        return frozenset()

    @property
    def layout(self) -> Literal["columns", "rows"]:
        """DuckDB reads a single column cheaply."""
        return "columns"

    @property
    def has_try_cast(self) -> bool:
        """DuckDB has it."""
        return True

    def sample(self, columns: Sequence[str], rows: int, *, where: exp.Expression | None = None) -> dict[str, Array]:
        """Return about ``rows`` rows chosen by a hash of their position: the same ones every time, in one order."""
        rows = max(200, min(rows, CELLS // max(1, len(columns))))
        kept = f" WHERE {where.sql(dialect='duckdb', identify=True)}" if where is not None else ""
        total = int(self.log.fetch(f"WITH rows AS ({self._rows()}) SELECT count(*) AS n FROM rows{kept}")["n"][0])
        spread = "hash(__row, __place)"
        joined = " AND " if kept else " WHERE "
        thin = f"{joined}{spread} % 1000000 < {int(np.ceil(1e6 * 1.2 * rows / total))}" if total > 1.2 * rows else ""
        wanted = ", ".join(quote(name) for name in columns)
        return self.log.fetch(
            f"WITH rows AS ({self._rows(place=True)}) SELECT {wanted} FROM rows{kept}{thin} "
            f"ORDER BY {spread}, __row LIMIT {rows}"
        )

    def _rows(self, *, place: bool = False) -> str:
        columns = "*" if place else "* EXCLUDE (__row, __place)"
        conditions = []
        if self.start is not None:
            conditions.append(f"__time >= {_moment(self.start)}")
        if self.end is not None:
            conditions.append(f"__time < {_moment(self.end)}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {columns} FROM {quote(self.view)}{where}"


@source("predictions")
@dataclass(slots=True)
class PredictionLog:
    """Prediction log and reference of one model, from files or in-memory tables."""

    model: str
    settings: Model
    task: str
    con: duckdb.DuckDBPyConnection
    opened: Opened
    opened_reference: Opened | None
    kinds: Mapping[str, Kind]
    left_out: Mapping[str, str]
    """Column → why it is not compared as a feature."""
    roles: frozenset[str]
    reference_roles: frozenset[str]
    notes: tuple[str, ...]
    first: datetime | None
    last: datetime | None
    """Half-open span of the log: the newest usable row lies before ``last``."""
    rows: int
    future_rows: int
    since: datetime | None
    until: datetime | None
    _once: Once = field(default_factory=Once)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _cursors: dict[int, duckdb.DuckDBPyConnection] | None = field(default_factory=dict)
    """Cursors with a query under way; None once closed."""

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names any model."""
        return bool(context.site.model)

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Open the log and the reference and settle what each column is.

        Raises TableError (missing, empty, unreadable, no prediction) or SiteFileError (no such model).
        """
        name, settings = choose_model(context.site, context.model)
        con = connection()
        try:
            return _connect(cls, con, name, settings, context)
        except BaseException:
            con.close()
            raise

    def check(self) -> list[Check]:
        """Return what was found in the log and the reference."""
        checks = [
            Check(
                f"predictions of {self.model}",
                self.rows > 0,
                f"{self.rows:,} rows, {len(self.kinds)} features, {self.opened.says}",
            )
        ]
        if self.opened_reference is None:
            checks.append(Check(f"reference of {self.model}", False, "not given: the log before the change stands in"))
        else:
            checks.append(Check(f"reference of {self.model}", True, self.opened_reference.says))
        for file, reason in self.opened.unreadable.items():
            checks.append(Check(f"file {file}", False, reason))
        checks.extend(Check("note", True, note) for note in self.notes)
        return checks

    def close(self) -> None:
        """Close the embedded engine; a query that still runs is interrupted, and not waited for."""
        import duckdb

        with self._guard:
            running, self._cursors = self._cursors or {}, None
        for cursor in running.values():
            cursor.interrupt()
        try:
            self.con.close()
        except duckdb.Error:
            return  # a query has not noticed yet: the engine is freed when its thread lets go of it

    def window(self, start: datetime | None, end: datetime | None, name: str = "") -> Window:
        """Return the rows of the log from ``start`` (included) to ``end`` (excluded)."""
        return Window(self, "log", self.kinds, self.roles, start, end, name)

    def everything(self) -> Window:
        """Return the whole usable log."""
        return self.window(self.first, self.last, "log") if self.first else self.window(None, None, "log")

    def reference(self) -> Window | None:
        """Return the reference, or None where the site names none."""
        if self.opened_reference is None:
            return None
        return Window(self, "reference", self.kinds, self.reference_roles, name="reference")

    def reference_has(self, column: str) -> bool:
        """Return whether the reference has this column."""
        return self.opened_reference is not None and column in self.opened_reference.columns

    def why_no(self, role: str) -> str:
        """Return, for an unknown finding, why the log has no values in this role."""
        asked = self.settings.columns.named().get(roles.PLAIN[role])
        if asked is None:
            return f"no data: the site file names no {roles.PLAIN[role]} column for {self.model}"
        return f"no data: the log holds no usable value in the {roles.PLAIN[role]} column {asked!r}"

    def oddities(self, start: datetime | None, end: datetime | None) -> dict[str, tuple[int, int, int]]:
        """Return feature → (NaN, infinite, not a number though the column is numeric) counts in a window of the log."""
        numeric = [n for n, k in self.kinds.items() if k == "number" and n in self.opened.columns]
        result: dict[str, tuple[int, int, int]] = {}
        window = Window(self, "odd", self.kinds, self.roles, start, end)
        for first in range(0, len(numeric), CHUNK):
            part = numeric[first : first + CHUNK]
            sums = []
            for i, name in enumerate(part):
                value = f"TRY_CAST({quote(name)} AS DOUBLE)"
                sums += [
                    f"count(*) FILTER (isnan({value})) AS nan{i}",
                    f"count(*) FILTER (isinf({value})) AS inf{i}",
                    f"count(*) FILTER ({quote(name)} IS NOT NULL AND {value} IS NULL) AS bad{i}",
                ]
            row = self.fetch(f"WITH rows AS ({window._rows(place=True)}) SELECT {', '.join(sums)} FROM rows")
            for i, name in enumerate(part):
                result[name] = (int(row[f"nan{i}"][0]), int(row[f"inf{i}"][0]), int(row[f"bad{i}"][0]))
        return result

    def fetch(self, sql: str) -> dict[str, Array]:
        """Run SQL and return column → array; nulls become NaN (numbers) or None. SourceGarbled when it fails."""
        import duckdb

        cursor = self._cursor()
        try:
            columns = cursor.execute(sql).fetchnumpy()
        except duckdb.Error as error:
            raise source_error(error, f"reading {self.opened.says}") from error
        finally:
            with self._guard:
                if self._cursors is not None:
                    self._cursors.pop(id(cursor), None)
        return {name: plain(values) for name, values in columns.items()}

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a cursor of its own for one query; one at a time, as the connection refuses calls side by side."""
        with self._guard:
            if self._cursors is None:
                raise SourceError(f"the log of {self.model} is closed: the investigation has ended")
            cursor = self.con.cursor()
            self._cursors[id(cursor)] = cursor
            return cursor

    def once(self, key: Any, compute: Callable[[], T]) -> T:
        """Return ``compute()``, done once per connection and key; an error is remembered and raised to all who ask."""
        return self._once.get(key, compute)


Log = TypeVar("Log", bound=PredictionLog)


def _connect(cls: type[Log], con: duckdb.DuckDBPyConnection, name: str, settings: Model, context: Context) -> Log:
    base = context.site.base
    key = f"{context.site.file}: model.{name}"
    opened = open_table(con, "raw_log", settings.predictions, base, key=f"{key}.predictions")
    reference = None
    if settings.reference is not None:
        reference = open_table(con, "raw_reference", settings.reference, base, key=f"{key}.reference")
    found = roles.assign(settings, opened.columns, key)
    kinds, left_out = roles.features(con, settings, opened, reference, found.columns)
    codes = roles.class_codes(con, settings, found, opened, reference, key)
    notes = [*found.notes, *codes.notes, *opened.notes()]
    view(con, "log", opened, found.columns, kinds, codes)
    con.execute(
        "CREATE OR REPLACE VIEW odd AS SELECT l.*, "
        + f"{roles.time_of(con, opened, found.columns)} AS __time, 0 AS __place FROM raw_log l"
    )
    used = roles.usable(con, "log", codes.task)
    reference_roles: frozenset[str] = frozenset()
    if reference is not None:
        there = {role: column for role, column in found.columns.items() if column in reference.columns}
        view(con, "reference", reference, there, kinds, codes)
        reference_roles = roles.usable(con, "reference", codes.task)
        if con.execute("SELECT count(*) FROM reference").fetchall()[0][0] == 0:
            raise TableError(
                f"{key}.reference: {reference.says} has no rows",
                hint="leave the key out, and the log before the change stands in for it",
            )
    rows, first, last, future = _span(con, context, used)
    if rows == 0:
        raise TableError(f"{key}.predictions: {opened.says} has no rows", hint="name the files that hold predictions")
    if future:
        notes.append(f"{future:,} rows are dated in the future and left out")
    since, until = _asked(context, first, last)
    return cls(
        model=name, settings=settings, task=codes.task, con=con, opened=opened, opened_reference=reference,
        kinds=kinds, left_out=left_out, roles=used, reference_roles=reference_roles, notes=tuple(notes),
        first=first, last=last, rows=rows, future_rows=future, since=since, until=until,
    )  # fmt: skip


def _span(
    con: duckdb.DuckDBPyConnection, context: Context, used: frozenset[str]
) -> tuple[int, datetime | None, datetime | None, int]:
    """Return rows, first and last instant of the usable log, and how many rows lie in the future.

    A log that lies mostly in the future belongs to a machine with another clock: it is used as it is.
    """
    if "__time" not in used:
        return int(con.execute("SELECT count(*) FROM log").fetchall()[0][0]), None, None, 0
    horizon = _moment(context.now + FUTURE_TOLERANCE)
    rows, timed, first, last, future, last_past = con.execute(
        f"SELECT count(*), count(__time), min(__time), max(__time), count(*) FILTER (__time > {horizon}), "
        f"max(__time) FILTER (__time <= {horizon}) FROM log"
    ).fetchall()[0]
    if future and future < 0.2 * timed:
        last, rows = last_past, rows - future
    else:
        future = 0
    return int(rows), first, last + timedelta(microseconds=1), int(future)


def _asked(context: Context, first: datetime | None, last: datetime | None) -> tuple[datetime | None, datetime | None]:
    if first is None or last is None:
        return None, None
    until = _naive(context.until) if context.until else None
    end = min(until, last) if until else last
    if until is not None and until <= first:
        raise TableError(
            f"--until {until:%Y-%m-%d %H:%M}Z lies before the first row of the log ({first:%Y-%m-%d %H:%M}Z)",
            hint=f"the newest row is of {last:%Y-%m-%d %H:%M}Z",
        )
    since = context.since
    if isinstance(since, timedelta):
        since = end - since
    since = _naive(since) if since else None
    if since is not None and since >= end:
        raise TableError(
            f"--since {since:%Y-%m-%d %H:%M}Z lies after the last row of the log ({end:%Y-%m-%d %H:%M}Z)",
            hint=f"the oldest row is of {first:%Y-%m-%d %H:%M}Z",
        )
    return since, until


def _naive(moment: datetime) -> datetime:
    from datetime import UTC

    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _moment(moment: datetime) -> str:
    return f"TIMESTAMP '{_naive(moment):%Y-%m-%d %H:%M:%S.%f}'"
