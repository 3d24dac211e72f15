"""ClickHouse tables as relations through chDB, ClickHouse's engine in this process.

``chdb://DIRECTORY#database.table`` is a table of a chDB directory, ``chdb://#FILE.parquet`` a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sickbay.errors import SourceError, TableError
from sickbay.sources.dialects import table_of
from sickbay.sources.relations import Relation, Rows, address_parts


def open_chdb(address: str, base: Path, *, key: str) -> Relation:
    """Open a table by address; TableError when it is not there or cannot be read."""
    try:
        from chdb.session import Session
    except ImportError:
        raise TableError(
            f"{key}: reading chdb:// needs the extra 'clickhouse'", hint="pip install 'sickbay[clickhouse]'"
        ) from None
    where, name = address_parts(address, key=key)
    directory = where.removeprefix("chdb://")
    if directory and not (base / directory).is_dir():
        raise TableError(f"{key}: there is no chDB directory {directory}", hint="write chdb://DIRECTORY#database.table")
    session = Session(str(base / directory)) if directory else Session()
    source = _source(name, base)
    try:
        _, described = _ask(session, f"DESCRIBE TABLE {source.sql(dialect='clickhouse', identify=True)}")
    except SourceError as error:
        session.close()
        raise TableError(f"{key}: {address} cannot be read: {error}", hint="write database.table after the #") from None

    def run(sql: str) -> Rows:
        return _ask(session, sql)

    return Relation(
        says=address, dialect="clickhouse", source=source, types={row[0]: row[1] for row in described}, run=run,
        shut=session.close,
    )  # fmt: skip


def _source(name: str, base: Path) -> Any:
    from sqlglot import exp

    if name.endswith((".parquet", ".csv", ".tsv", ".json", ".jsonl")):
        file = exp.Table(this=exp.Anonymous(this="file", expressions=[exp.Literal.string(str(base / name))]))
        return exp.alias_(file, "given", table=True)  # a table function in a join has to have a name
    return table_of(name, "clickhouse")


def _ask(session: Any, sql: str) -> Rows:
    """Return names and rows, through ClickHouse's own JSON: numbers stay numbers, null is null, NaN is null."""
    import json

    try:
        answer = session.query(sql, "JSONCompact")
    except RuntimeError as error:
        raise SourceError(str(error).strip().partition("\n")[0][:300]) from None
    parsed = json.loads(answer.bytes() if hasattr(answer, "bytes") else str(answer))
    wide = {i for i, column in enumerate(parsed["meta"]) if "Int64" in column["type"] or "Int128" in column["type"]}
    rows = [[int(v) if i in wide and v is not None else v for i, v in enumerate(row)] for row in parsed["data"]]
    return [column["name"] for column in parsed["meta"]], rows
