"""A PostgreSQL table as a relation, read-only: ``postgresql://user@host/database#schema.table``.

Least rights: CONNECT on the database, USAGE on the schema, SELECT on the table. Every statement runs in a read-only
transaction with a time-out. Times that Python cannot hold (infinity, the year 10,000) come as its first or last.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sickbay.errors import SourceError, SourceForbidden, SourceTimeout, TableError
from sickbay.redact import redact
from sickbay.sources.dialects import table_of
from sickbay.sources.relations import Relation, Rows, address_parts

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 1800
TYPES = """
SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


def open_postgres(address: str, *, key: str) -> Relation:
    """Open a table by address; TableError when it is not there, SourceError when the server cannot be read."""
    try:
        import psycopg
    except ImportError:
        raise TableError(
            f"{key}: reading postgresql:// needs the extra 'postgres'", hint="pip install 'sickbay[postgres]'"
        ) from None
    where, name = address_parts(address, key=key)
    table = table_of(name, "postgres")
    quoted = table.sql(dialect="postgres", identify=True)
    options = f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_SECONDS * 1000} -c TimeZone=UTC"
    try:
        con = psycopg.connect(
            where, connect_timeout=CONNECT_SECONDS, autocommit=True, options=options, client_encoding="utf8"
        )
    except psycopg.Error as error:
        raise _told(error, f"{key}: connecting to {redact(where)}") from None

    _bound_times(con)

    def run(sql: str) -> Rows:
        try:
            cursor = con.execute(sql)
            return [column.name for column in cursor.description or ()], cursor.fetchall()
        except psycopg.Error as error:
            raise _told(error, f"reading {name}") from None

    try:
        found = con.execute(TYPES, [quoted]).fetchall()
    except psycopg.Error as error:
        con.close()
        raise _told(error, f"{key}: looking for the table {name}") from None
    if not found:
        con.close()
        raise TableError(f"{key}: there is no table {name} in {redact(where)}", hint="write schema.table after the #")
    return Relation(
        says=f"{redact(where)}#{name}", dialect="postgres", source=table, types=dict(found), run=run, shut=con.close
    )


def _bound_times(con: Any) -> None:
    """Have the connection read what is beyond Python's times as the nearest of them, and not fail."""
    import psycopg
    from psycopg.types import datetime as known

    def within(loader: Any, low: Any, high: Any) -> Any:
        class Within(loader):  # type: ignore[misc]
            def load(self, data: Any) -> Any:
                try:
                    return super().load(data)
                except psycopg.DataError:
                    text = bytes(data)
                    return low if text.startswith(b"-") or text.endswith(b"BC") else high

        return Within

    first, last = datetime.min, datetime.max
    con.adapters.register_loader("date", within(known.DateLoader, date.min, date.max))
    con.adapters.register_loader("timestamp", within(known.TimestampLoader, first, last))
    zoned = within(known.TimestamptzLoader, first.replace(tzinfo=UTC), last.replace(tzinfo=UTC))
    con.adapters.register_loader("timestamptz", zoned)


def _told(error: Exception, doing: str) -> SourceError:
    import psycopg

    first = redact(str(error).strip().partition("\n")[0]) or type(error).__name__
    if len(first) > 300:  # a number of a thousand digits, and at its end what is wrong with it
        first = f"{first[:150]} … {first[-140:]}"
    if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.InvalidAuthorizationSpecification):
        return SourceForbidden(f"{doing}: {first}", hint="sickbay needs CONNECT, USAGE on the schema and SELECT")
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.ConnectionTimeout):
        return SourceTimeout(f"{doing}: {first}")
    return SourceError(f"{doing}: {first}")
