"""Files and in-memory tables as relations, through the embedded DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sickbay.errors import TableError
from sickbay.sources.relations import Array, Relation
from sickbay.sources.tables import connection, open_table, plain, source_error


def open_duckdb(table: Any, base: Path, *, key: str) -> Relation:
    """Open a file, glob, directory or in-memory table; TableError when it cannot be read or has no rows."""
    import duckdb
    from sqlglot import exp

    con = connection()
    try:
        opened = open_table(con, "given", table, base, key=key)
    except BaseException:
        con.close()
        raise

    def run(sql: str) -> dict[str, Array]:
        try:
            columns = con.execute(sql).fetchnumpy()
        except duckdb.Error as error:
            raise source_error(error, f"reading {opened.says}") from error
        return {name: plain(values) for name, values in columns.items()}

    types = {name: kind for name, kind in opened.columns.items() if name != "__row"}
    if not types:
        con.close()
        raise TableError(f"{key}: {opened.says} has no columns", hint="name a table with columns")
    return Relation(
        says=opened.says, dialect="duckdb", source=exp.to_table("given"), types=types, run=run, layout="columns",
        has_try_cast=True, shut=con.close, notes=opened.notes(),
    )  # fmt: skip
