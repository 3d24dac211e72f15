"""PostgreSQL as a server: sessions, limits, locks, room on its disk, the schema of an application."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal, Self

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceTimeout
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context

State = Literal["connected", "refused", "timed out", "slots", "login", "missing", "starting", "unresolved", "failed"]
CONNECT_SECONDS, STATEMENT_SECONDS = 4, 5
SLOTS = re.compile(r"too many (clients|connections)|remaining connection slots are reserved|connection limit exceeded")


class _Settings(settings.Settings):
    dsn: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of connecting: ``detail`` is what the server or the network said."""

    state: State
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of clients, sickbay's own left out, and how many ordinary ones the server lets in."""

    used: int
    limit: int
    reserved: int
    sees_all: bool
    """Whether the role sees what others do; else what follows is empty."""
    by_state: dict[str, int]
    by_user: dict[str, int]
    slow: int
    """Statements that have run for more than five seconds."""
    waiting: int
    """Sessions that wait for a lock."""
    longest_idle_transaction: float

    @property
    def ordinary(self) -> int:
        """Slots for roles without a reserved one."""
        return self.limit - self.reserved


@source("postgres")
class Postgres:
    """Reads a PostgreSQL server's own state: sessions, limits, locks, sizes, schema versions.

    Rights: a role with ``pg_monitor`` sees the sessions of all; ``pg_use_reserved_connections`` (PostgreSQL 16) lets it
    in when ordinary slots are full. Every transaction is read-only; connecting and every statement have an end.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._con: Any = None
        self._lock = threading.Lock()
        self.attempt: Attempt | None = None

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a PostgreSQL server."""
        return "postgres" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client that connects when first asked. SiteFileError when driver or address is not there."""
        given = settings.read(context, "postgres", _Settings)
        try:
            import psycopg  # noqa: F401 - whether the driver is there
        except ImportError:
            raise SiteFileError(
                "[source.postgres] needs the driver psycopg", hint='pip install "sickbay[postgres]"'
            ) from None
        if not given.dsn.startswith(("postgresql://", "postgres://")):
            raise SiteFileError(
                f"{context.site.file}: 'source.postgres.dsn' is no address of PostgreSQL",
                hint='dsn = "env:DSN" with postgresql://user:password@host:5432/database',
            )
        return cls(given.dsn)

    def reach(self) -> Attempt:
        """Connect once, and return what came of it; the connection is kept for the other questions."""
        with self._lock:
            if self.attempt is None:
                self.attempt = self._try()
            return self.attempt

    def sessions(self) -> Sessions:
        """Count the sessions against the limit; every role may, but only ``pg_monitor`` sees what the others do."""
        limits: dict[str, int] = dict(self._ask(
            "SELECT name, setting::int FROM pg_settings WHERE name IN "
            "('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        ))  # fmt: skip
        reserved = limits.get("superuser_reserved_connections", 0) + limits.get("reserved_connections", 0)
        used = int(self._ask("SELECT sum(numbackends) FROM pg_stat_database")[0][0]) - 1
        # a role without the right gets rows in which even the kind of backend is null
        if self._ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type IS NULL")[0][0]:
            return Sessions(used, limits["max_connections"], reserved, False, {}, {}, 0, 0, 0.0)
        rows = self._ask(
            "SELECT coalesce(state, 'unknown'), usename, count(*), "
            "count(*) FILTER (WHERE state = 'active' AND now() - query_start > interval '5 s'), "
            "count(*) FILTER (WHERE wait_event_type = 'Lock'), "
            "coalesce(extract(epoch FROM max(now() - xact_start) FILTER (WHERE state LIKE 'idle in%')), 0)::float8 "
            "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1, 2"
        )
        by_state: dict[str, int] = {}
        by_user: dict[str, int] = {}
        for state, user, count, *_ in rows:
            by_state[state] = by_state.get(state, 0) + int(count)
            by_user[user or ""] = by_user.get(user or "", 0) + int(count)
        return Sessions(
            used, limits["max_connections"], reserved, True, by_state, by_user, sum(int(row[3]) for row in rows),
            sum(int(row[4]) for row in rows), max([0.0, *(row[5] for row in rows)]),
        )  # fmt: skip

    def spill(self) -> str:
        """Sort three megabytes through the server's disk and throw them away; return the error if there is no room.

        Only temporary files are written, in a read-only transaction: it is what any large query does.
        """
        import psycopg

        try:
            self._ask(
                "SELECT count(*) FROM (SELECT repeat(n::text, 60) AS t FROM generate_series(1, 12000) AS n "
                "ORDER BY md5(n::text) OFFSET 1) AS sorted", work_mem="64kB",
            )  # fmt: skip
        except psycopg.errors.DiskFull as error:
            return str(error).strip()
        return ""

    def size(self) -> int:
        """Return the size of the database in bytes."""
        return int(self._ask("SELECT pg_database_size(current_database())")[0][0])

    def revision(self) -> str | None:
        """Return the schema's revision that Alembic noted; None when there is no such table."""
        import psycopg

        try:
            rows = self._ask("SELECT version_num FROM alembic_version")
        except psycopg.errors.UndefinedTable:
            return None
        except psycopg.errors.InsufficientPrivilege:
            raise SourceForbidden(
                "the role may not read alembic_version: GRANT SELECT ON alembic_version TO it"
            ) from None
        return str(rows[0][0]) if rows else None

    def check(self) -> list[Check]:
        """Return whether it can be reached and what the role sees."""
        attempt = self.reach()
        checks = [Check("postgres connection", attempt.state == "connected", attempt.detail or attempt.state)]
        if attempt.state == "connected":
            try:
                found = self.sessions()
                checks.append(Check("postgres sessions", True, f"{found.used} of {found.ordinary} ordinary slots"))
            except SourceError as error:
                checks.append(Check("postgres sessions", False, str(error)))
        return checks

    def close(self) -> None:
        """Close the connection."""
        if self._con is not None:
            self._con.close()
            self._con = None

    def _try(self) -> Attempt:
        import psycopg

        began = time.monotonic()
        try:
            self._con = psycopg.connect(
                self._dsn, connect_timeout=CONNECT_SECONDS, autocommit=True, application_name="sickbay",
                options=f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_SECONDS}s "
                f"-c lock_timeout=2s -c idle_session_timeout=120s",
                keepalives_idle=5, keepalives_interval=2, keepalives_count=2, tcp_user_timeout=6000,
            )  # fmt: skip
        except psycopg.Error as error:
            text = " ".join(str(error).split())
            return Attempt(_state(text), time.monotonic() - began, text)
        return Attempt("connected", time.monotonic() - began, f"connected in {time.monotonic() - began:.2f} s")

    def _ask(self, statement: str, *, work_mem: str = "") -> list[tuple[Any, ...]]:
        """Run one statement in a read-only transaction; errors of reach become SourceErrors."""
        import psycopg

        attempt = self.reach()
        if self._con is None:
            raise SourceError(f"unreachable: {attempt.detail}")
        with self._lock:
            cancel = threading.Timer(STATEMENT_SECONDS + 2, self._abandon)
            cancel.start()
            try:
                with self._con.transaction():
                    if work_mem:
                        self._con.execute(f"SET LOCAL work_mem = '{work_mem}'")
                    return list(self._con.execute(statement).fetchall())
            except psycopg.errors.QueryCanceled:
                raise SourceTimeout(f"a statement took more than {STATEMENT_SECONDS} s") from None
            except psycopg.OperationalError as error:
                if isinstance(error, psycopg.errors.DiskFull):
                    raise
                raise SourceError(f"unreachable: {' '.join(str(error).split())}") from None
            finally:
                cancel.cancel()

    def _abandon(self) -> None:
        """Break a connection whose server does not even answer that the statement took too long."""
        import os
        import socket

        con = self._con
        if con is not None:
            try:
                with socket.socket(fileno=os.dup(con.fileno())) as wire:
                    wire.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def _state(text: str) -> State:
    lower = text.lower()
    if SLOTS.search(lower):
        return "slots"
    if (
        "password authentication failed" in lower
        or "no pg_hba.conf entry" in lower
        or ("role" in lower and "not exist" in lower)
    ):
        return "login"
    if "database" in lower and "does not exist" in lower:
        return "missing"
    if "starting up" in lower or "recovery" in lower or "shutting down" in lower:
        return "starting"
    if "refused" in lower:
        return "refused"
    if "timeout" in lower or "timed out" in lower:
        return "timed out"
    if "resolve" in lower or "name or service" in lower or "nodename" in lower:
        return "unresolved"
    return "failed"
