"""Tables of features in more than one engine: read where they are, and in part carried into the embedded one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from sickbay.errors import SourceError
from sickbay.sources.relations import Array, Relation, as_columns

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

NAMES = {"duckdb": "files or memory", "postgres": "PostgreSQL", "spark": "Spark", "clickhouse": "ClickHouse"}
SETTINGS = {"clickhouse": " SETTINGS output_format_json_quote_denormals = 1, date_time_output_format = 'iso'"}
"""What is asked of an engine's client besides: infinities as such, and instants with their zone."""
GIVEN = "given_"
"""Before a role: the view of a file or a table in memory that is itself in the embedded engine."""
MICROSECOND = 1_000_000
GONE, NOT_A_NUMBER = 1, 2


@dataclass(slots=True)
class Apart:
    """Tables by role; those in ``far`` are in engines of their own, the others are views of the embedded one.

    ``types``: role → column → the engine's own name of its type, or DuckDB's once the table was carried.
    """

    con: duckdb.DuckDBPyConnection
    far: Mapping[str, Relation]
    types: dict[str, Mapping[str, str]]
    says: Mapping[str, str]
    notes: tuple[str, ...] = ()
    dialect: str = "duckdb"
    has_try_cast: bool = True
    _carried: set[str] = field(default_factory=set)

    def engine(self, role: str) -> str:
        """Return what messages call the engine that a table is in."""
        return NAMES.get(dialect := self.far[role].dialect if role in self.far else "duckdb", dialect)

    def query(self, select: exp.Expression) -> dict[str, Array]:
        """Run a portable expression over tables of one engine, there: what was carried is in the embedded one."""
        return as_columns(self._run(select))

    def carry(
        self, role: str, columns: Mapping[str, tuple[str, exp.Expression]], where: exp.Expression | None, rows: int
    ) -> int:
        """Copy rows into the embedded engine, at most ``rows``; from here on the table is read there.

        ``columns``: name → DuckDB's type and what the table's own engine makes of it. Returns the rows copied.
        """
        from sqlglot import exp

        outputs = [exp.alias_(made, f"c{i}") for i, (_, made) in enumerate(columns.values())]
        select = exp.select(*outputs).from_(role).limit(rows)
        if where is not None:
            select = select.where(where)
        shapes = [(name, kind) for name, (kind, _) in columns.items()]
        if role in self.far:
            _, fetched = self._fetch(select, role)
            source, typed = f"fetched_{role}", _load(self.con, f"fetched_{role}", shapes, fetched, self._local(role))
        else:
            source = f"({self._render(select)})"
            typed = [f"CAST(c{i} AS {kind})" for i, (_, kind) in enumerate(shapes)]
        listed = ", ".join(f"{made} AS {_quoted(name)}" for made, (name, _) in zip(typed, shapes, strict=True))
        self._embedded(f"CREATE TABLE {role} AS SELECT {listed}, row_number() OVER () AS __row FROM {source}")
        if role in self.far:
            self.con.unregister(source)
        self._carried.add(role)
        self.types[role] = {**self.types[role], **dict(shapes)}
        return int(self.con.execute(f"SELECT count(*) FROM {role}").fetchall()[0][0])

    def keep(self, role: str, where: exp.Expression) -> int:
        """Leave out carried rows for which a condition does not hold; return how many."""
        sql = where.sql(dialect="duckdb", identify=True)
        return int(self._embedded(f"DELETE FROM {role} WHERE NOT ({sql})").fetchall()[0][0])

    def close(self) -> None:
        """Give back the connections; may be called twice."""
        for relation in self.far.values():
            relation.close()
        self.con.close()

    def _run(self, select: exp.Expression) -> Any:
        from sqlglot import exp

        from sickbay.sources.tables import plain

        named = {table.name for table in select.find_all(exp.Table)}
        elsewhere = sorted(named & (set(self.far) - self._carried))
        if elsewhere:
            return self._fetch(select, elsewhere[0])
        answer = self._embedded(self._render(select)).fetchnumpy()
        return {name: plain(values) for name, values in answer.items()}

    def _fetch(self, select: exp.Expression, role: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        from sickbay.sources.dialects import render

        relation = self.far[role]
        sql = render(select, relation.dialect, {role: relation.source})
        answer = relation.run(sql + SETTINGS.get(relation.dialect, ""))
        if isinstance(answer, dict):
            raise TypeError(f"{relation.dialect} answers in columns: it is the embedded engine")
        return answer

    def _render(self, select: exp.Expression) -> str:
        from sqlglot import exp

        from sickbay.sources.dialects import render

        mine = set(self.types) - set(self.far) - self._carried
        sources: dict[str, exp.Expression] = {role: exp.to_table(role) for role in self._carried}
        return render(select, "duckdb", sources | {role: exp.to_table(GIVEN + role) for role in mine})

    def _embedded(self, sql: str) -> duckdb.DuckDBPyConnection:
        import duckdb

        from sickbay.sources.tables import source_error

        try:
            return self.con.execute(sql)
        except duckdb.Error as error:
            raise source_error(error, "comparing the two sides") from error

    def _local(self, role: str) -> bool:
        """Return whether the engine's client gives instants as this machine's own time."""
        return self.far[role].dialect == "spark"


def _load(
    con: duckdb.DuckDBPyConnection, name: str, shapes: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]],
    local: bool,
) -> list[str]:  # fmt: skip
    """Make fetched rows a table of the embedded engine; return the expressions of its columns."""
    arrays: dict[str, Any] = {}
    made = []
    for i, (_, kind) in enumerate(shapes):
        values = [row[i] for row in rows]
        if kind in ("TIMESTAMP", "TIMESTAMPTZ"):
            values = [_microseconds(v, local=local and kind == "TIMESTAMPTZ") for v in values]
        try:
            arrays[f"c{i}"], arrays[f"n{i}"] = _numbers(values, kind)
            odd = f"WHEN {NOT_A_NUMBER} THEN CAST('nan' AS DOUBLE) " if kind == "DOUBLE" else ""
            value = f"CASE n{i} WHEN {GONE} THEN NULL {odd}ELSE c{i} END"
        except (OverflowError, TypeError, ValueError):  # text, and whole numbers beyond 64 bits
            arrays[f"c{i}"] = np.empty(len(values), dtype=object)
            arrays[f"c{i}"][:] = [None if v is None else str(v) for v in values]
            value = f"c{i}"
        if kind in ("TIMESTAMP", "TIMESTAMPTZ"):
            value = f"make_timestamp({value})"
        # a time is read as of UTC, which is the connection's zone
        made.append(f"CAST({value} AS {kind})")
    con.execute("SET pandas_analyze_sample = 0")  # else what objects are is guessed from the first thousand
    con.register(name, arrays)
    return made


def _numbers(values: list[Any], kind: str) -> tuple[Array, Array]:
    """Return values, and marks of those that an array of the embedded engine cannot hold; raises for other kinds."""
    if kind not in ("BIGINT", "HUGEINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "TIMESTAMPTZ"):
        raise TypeError(kind)
    marks = np.array([GONE if v is None else 0 for v in values], dtype=np.int8)
    plain = [0 if v is None else v for v in values] if marks.any() else values
    if kind == "DOUBLE":
        numbers = np.array(plain, dtype=np.float64)
        marks[np.isnan(numbers)] = NOT_A_NUMBER  # which is taken for null, as pandas does
        return numbers, marks
    if any(isinstance(v, str) for v in plain):
        raise TypeError(kind)
    return np.array(plain, dtype=bool if kind == "BOOLEAN" else np.int64), marks


def _microseconds(value: Any, *, local: bool) -> int | None:
    """Return microseconds since 1970; a time without a zone is UTC, or this machine's own if ``local``."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise SourceError(f"{value[:40]!r} is not a time that can be read") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    moment = value.astimezone(UTC) if value.tzinfo or local else value.replace(tzinfo=UTC)
    apart = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return int((apart.days * 86_400 + apart.seconds) * MICROSECOND + apart.microseconds)


def _quoted(name: str) -> str:
    from sickbay.sources.tables import quote

    return quote(name)
