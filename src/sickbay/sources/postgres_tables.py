"""A PostgreSQL table as a relation, read-only: ``postgresql://user@host/database#schema.table``.

Least rights: CONNECT on the database, USAGE on the schema, SELECT on the table. Every statement runs in a read-only
transaction with a time-out.
"""

from __future__ import annotations

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
        con = psycopg.connect(where, connect_timeout=CONNECT_SECONDS, autocommit=True, options=options)
    except psycopg.Error as error:
        raise _told(error, f"{key}: connecting to {redact(where)}") from None

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


def _told(error: Exception, doing: str) -> SourceError:
    import psycopg

    first = redact(str(error).strip().partition("\n")[0]) or type(error).__name__
    if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.InvalidAuthorizationSpecification):
        return SourceForbidden(f"{doing}: {first}", hint="sickbay needs CONNECT, USAGE on the schema and SELECT")
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.ConnectionTimeout):
        return SourceTimeout(f"{doing}: {first}")
    return SourceError(f"{doing}: {first}")
