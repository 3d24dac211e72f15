"""The offline and the online side of features as tables of one engine, so that they can be joined where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sickbay.errors import TableError
from sickbay.sources.relations import Array, Relation, as_columns, open_relation

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

MEMORY_LIMIT = "3GB"
"""Of a join inside the embedded engine; what is beyond spills to the temporary directory."""


@dataclass(slots=True)
class TwoSides:
    """Tables by role (``offline``, ``online``, perhaps ``history``, ``events``) that one engine can join."""

    dialect: str
    sources: Mapping[str, exp.Expression]
    types: Mapping[str, Mapping[str, str]]
    run: Callable[[str], Any]
    shut: Callable[[], None]
    says: Mapping[str, str]
    has_try_cast: bool = False
    notes: tuple[str, ...] = field(default=())

    def query(self, select: exp.Expression) -> dict[str, Array]:
        """Run a portable expression over the tables; column name → array, null as None or NaN."""
        return as_columns(self.run(self.render(select)))

    def render(self, select: exp.Expression) -> str:
        """Return the expression as SQL of this engine, reading from these tables."""
        from sickbay.sources.dialects import render

        return render(select, self.dialect, self.sources)

    def close(self) -> None:
        """Give back the connections; may be called twice."""
        self.shut()


def open_two_sides(
    given: Mapping[str, Any],
    *,
    base: Path,
    environ: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
) -> TwoSides:
    """Open tables by role: addresses or in-memory tables; all of them in one engine.

    ``keys``: role → what messages call it (``--offline``). Raises TableError when they are of different engines.
    """
    named = {role: (keys or {}).get(role, role) for role in given}
    if all(_embedded(table) for table in given.values()):
        return _duckdb(given, base, environ or {}, named)
    opened: dict[str, Relation] = {}
    try:
        for role, table in given.items():
            opened[role] = open_relation(table, base=base, key=named[role], environ=environ)
        return _elsewhere(given, opened, named)
    except BaseException:
        for relation in opened.values():
            relation.close()
        raise


def _embedded(table: Any) -> bool:
    if isinstance(table, str | Path):
        text = str(table)
        return "://" not in text or text.startswith("file://")
    return not type(table).__module__.startswith("pyspark.")


def _duckdb(given: Mapping[str, Any], base: Path, environ: Mapping[str, str], named: Mapping[str, str]) -> TwoSides:
    import duckdb
    from sqlglot import exp

    from sickbay.references import resolve
    from sickbay.sources.tables import connection, open_table, plain, source_error

    con = connection()
    con.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    _carry_what_is_made(con)
    types, says, notes = {}, {}, []
    try:
        for role, table in given.items():
            if isinstance(table, str):
                table = resolve(table, base, environ, key=named[role]).text.removeprefix("file://")
            opened = open_table(con, role, table, base, key=named[role])
            types[role] = {name: kind for name, kind in opened.columns.items() if name != "__row"}
            says[role] = opened.says
            notes += [f"{named[role]}: {note}" for note in opened.notes()]
            if not types[role]:
                raise TableError(f"{named[role]}: {opened.says} has no columns", hint="name a table with columns")
    except BaseException:
        con.close()
        raise

    def run(sql: str) -> dict[str, Array]:
        try:
            columns = con.execute(sql).fetchnumpy()
        except duckdb.Error as error:
            raise source_error(error, "comparing the two sides") from error
        return {name: plain(values) for name, values in columns.items()}

    sources = {role: exp.to_table(role) for role in given}
    return TwoSides("duckdb", sources, types, run, con.close, says, has_try_cast=True, notes=tuple(notes))


def _carry_what_is_made(con: duckdb.DuckDBPyConnection) -> None:
    """Keep the engine from taking expressions over a join, which then has to carry all the columns they are of."""
    if con.execute("SELECT count(*) FROM duckdb_optimizers() WHERE name = 'projection_pullup'").fetchall()[0][0]:
        con.execute("SET disabled_optimizers = 'projection_pullup'")


def _elsewhere(given: Mapping[str, Any], opened: Mapping[str, Relation], named: Mapping[str, str]) -> TwoSides:
    places = {role: _place(given[role], relation) for role, relation in opened.items()}
    if len(set(places.values())) > 1:
        listed = ", ".join(f"{named[role]} {relation.says}" for role, relation in opened.items())
        raise TableError(
            f"the sides are in different engines ({listed}): they cannot be joined where they are",
            hint="copy one of them to where the other is, or both to Parquet files",
        )
    first = next(iter(opened.values()))

    def shut() -> None:
        for relation in opened.values():
            relation.close()

    return TwoSides(
        first.dialect, {role: relation.source for role, relation in opened.items()},
        {role: relation.types for role, relation in opened.items()}, first.run, shut,
        {role: relation.says for role, relation in opened.items()}, first.has_try_cast,
        tuple(note for relation in opened.values() for note in relation.notes),
    )  # fmt: skip


def _place(given: Any, relation: Relation) -> tuple[str, object]:
    """Return what tables have to share to be joined: engine and database, or engine and session."""
    if isinstance(given, str):
        where = given.partition("#")[0]
        return relation.dialect, where
    return relation.dialect, id(getattr(given, "sparkSession", given))
