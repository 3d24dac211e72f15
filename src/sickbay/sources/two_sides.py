"""The offline and the online side of features as tables of one engine, so that they can be joined where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sickbay.errors import TableError
from sickbay.sources.apart import GIVEN, Apart
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
    opened = open_sides(given, base=base, environ=environ, keys=keys)
    if isinstance(opened, TwoSides):
        return opened
    listed = ", ".join(f"{(keys or {}).get(role, role)} {says}" for role, says in opened.says.items())
    opened.close()
    raise TableError(
        f"the sides are in different engines ({listed}): they cannot be joined where they are",
        hint="`sickbay skew` compares a sample of such sides; or copy one of them to where the other is",
    )


def open_sides(
    given: Mapping[str, Any],
    *,
    base: Path,
    environ: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
) -> TwoSides | Apart:
    """Open tables by role, as ``open_two_sides`` does, or as ``Apart`` where they are in different engines."""
    named = {role: (keys or {}).get(role, role) for role in given}
    near = {role: table for role, table in given.items() if _embedded(table)}
    if len(near) == len(given):
        return _duckdb(given, base, environ or {}, named)
    far: dict[str, Relation] = {}
    try:
        for role, table in given.items():
            if role not in near:
                far[role] = open_relation(table, base=base, key=named[role], environ=environ)
        if not near and len({_place(given[role], relation) for role, relation in far.items()}) == 1:
            return _elsewhere(far)
        return _apart(near, far, base, environ or {}, named)
    except BaseException:
        for relation in far.values():
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

    from sickbay.sources.tables import plain, source_error

    con, types, says, notes = _views(given, {role: role for role in given}, base, environ, named)

    def run(sql: str) -> dict[str, Array]:
        try:
            columns = con.execute(sql).fetchnumpy()
        except duckdb.Error as error:
            raise source_error(error, "comparing the two sides") from error
        return {name: plain(values) for name, values in columns.items()}

    sources = {role: exp.to_table(role) for role in given}
    return TwoSides("duckdb", sources, types, run, con.close, says, has_try_cast=True, notes=tuple(notes))


def _apart(
    near: Mapping[str, Any], far: Mapping[str, Relation], base: Path, environ: Mapping[str, str],
    named: Mapping[str, str],
) -> Apart:  # fmt: skip
    con, types, says, notes = _views(near, {role: GIVEN + role for role in near}, base, environ, named)
    for role, relation in far.items():
        # of Spark's types this one is an instant
        instant = "timestamp" if relation.dialect == "spark" else None
        types[role] = {n: "timestamp with time zone" if t == instant else t for n, t in relation.types.items()}
        says[role] = relation.says
        notes += relation.notes
    return Apart(con, far, {role: types[role] for role in named}, {role: says[role] for role in named}, tuple(notes))


def _views(
    given: Mapping[str, Any], views: Mapping[str, str], base: Path, environ: Mapping[str, str], named: Mapping[str, str]
) -> tuple[duckdb.DuckDBPyConnection, dict[str, Mapping[str, str]], dict[str, str], list[str]]:
    """Return an embedded engine with these views, and by role the columns' types and what was read; and notes."""
    from sickbay.references import resolve
    from sickbay.sources.tables import connection, open_table

    con = connection()
    con.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    _carry_what_is_made(con)
    types: dict[str, Mapping[str, str]] = {}
    says, notes = {}, []
    try:
        for role, table in given.items():
            if isinstance(table, str):
                table = resolve(table, base, environ, key=named[role]).text.removeprefix("file://")
            opened = open_table(con, views[role], table, base, key=named[role])
            types[role] = {name: kind for name, kind in opened.columns.items() if name != "__row"}
            says[role] = opened.says
            notes += [f"{named[role]}: {note}" for note in opened.notes()]
            if not types[role]:
                raise TableError(f"{named[role]}: {opened.says} has no columns", hint="name a table with columns")
    except BaseException:
        con.close()
        raise
    return con, types, says, notes


def _carry_what_is_made(con: duckdb.DuckDBPyConnection) -> None:
    """Keep the engine from taking expressions over a join, which then has to carry all the columns they are of."""
    if con.execute("SELECT count(*) FROM duckdb_optimizers() WHERE name = 'projection_pullup'").fetchall()[0][0]:
        con.execute("SET disabled_optimizers = 'projection_pullup'")


def _elsewhere(opened: Mapping[str, Relation]) -> TwoSides:
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
