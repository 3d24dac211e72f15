"""The source of PostgreSQL against a real server: what it sees with which right, and that it cannot write."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from sickbay.config import load_site
from sickbay.errors import SourceError, SourceForbidden
from sickbay.lab.systems import postgres
from sickbay.monitor.store import Store
from sickbay.monitor.watching import Watch
from sickbay.sources.postgres import Postgres

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"max_connections": "16", "reserved_connections": "2", "superuser_reserved_connections": "2"}
    started = postgres.start(tmp_path_factory.mktemp("postgres") / "server", settings=settings)
    started.execute(
        "CREATE ROLE app LOGIN PASSWORD 'app-secret'", "CREATE ROLE watcher LOGIN PASSWORD 'watcher-secret'",
        "GRANT pg_monitor, pg_use_reserved_connections TO watcher", "CREATE TABLE alembic_version (version_num text)",
        "INSERT INTO alembic_version VALUES ('abc')", "GRANT SELECT ON alembic_version TO watcher",
    )  # fmt: skip
    yield started
    started.stop()


@contextlib.contextmanager
def source(server, role="watcher", secret="watcher-secret", database="postgres"):
    with contextlib.closing(_client(server, role, secret, database)) as client:
        yield client


@contextlib.contextmanager
def apps(server, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(app(server))) for _ in range(count)]


def _client(server, role, secret, database):
    return Postgres(f"postgresql://{role}:{secret}@127.0.0.1:{server.port}/{database}")


def app(server):
    return psycopg.connect(f"postgresql://app:app-secret@127.0.0.1:{server.port}/postgres")


def test_sessions_are_counted_by_state_and_role_against_the_ordinary_slots(server):
    with apps(server, 3) as held, source(server) as client:
        held[0].execute("SELECT 1")
        seen = client.sessions()
    assert seen.ordinary == 12
    assert seen.by_user["app"] == 3
    assert seen.by_state["idle in transaction"] == 1


def test_a_reserved_slot_lets_it_in_when_ordinary_ones_are_full(server):
    with apps(server, 12), source(server) as client, source(server, "app", "app-secret") as ordinary:
        assert client.reach().state == "connected"
        assert client.sessions().used == 12
        assert ordinary.reach().state == "slots"


def test_a_role_without_the_right_counts_and_does_not_see(server):
    server.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger-secret'")
    with apps(server, 5), source(server, "stranger", "stranger-secret") as client:
        seen = client.sessions()
        assert not seen.sees_all
        assert seen.used >= 5
        with pytest.raises(SourceForbidden, match="alembic_version"):
            client.revision()


@pytest.mark.parametrize(
    ("role", "secret", "database", "state"),
    [("watcher", "wrong", "postgres", "login"), ("watcher", "watcher-secret", "nowhere", "missing")],
)
def test_what_it_was_refused_for_is_told_apart(server, role, secret, database, state):
    with source(server, role, secret, database) as client:
        assert client.reach().state == state


def test_it_cannot_write(server):
    with source(server, "postgres", "") as client, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        client._ask("CREATE TABLE written (x int)")


def test_the_revision_and_the_room_are_read(server):
    with source(server) as client:
        assert client.revision() == "abc"
        assert client.spill() == ""
        assert client.size() > 1_000_000


def test_a_frozen_server_is_timed_out_not_waited_for(server):
    with source(server) as client, source(server) as later:
        assert client.reach().state == "connected"
        server.server.freeze()
        try:
            with pytest.raises(SourceError, match=r"unreachable|took more than"):
                client.sessions()
            assert later.reach().state == "timed out"
        finally:
            server.server.thaw()


def test_sessions_that_leak_raise_the_alarm_before_the_last_slot_is_taken(server, tmp_path):
    site = load_site(
        {
            "source": {"postgres": {"dsn": f"postgresql://watcher:watcher-secret@127.0.0.1:{server.port}/postgres"}},
            "monitor": {"sessions": {"probes": ["database.sessions"], "every": "1h", "warn_before": "12h"}},
        },
        {},
        tmp_path,
    )
    watch, now, seen = Watch(site, Store(tmp_path / "watch.db"), environ={}), datetime(2026, 1, 1, tzinfo=UTC), []
    with contextlib.ExitStack() as stack:
        for hour in range(12):
            (progress,) = watch.turn(now + timedelta(hours=hour))
            assert progress.error == ""
            seen += [(event.series, hour) for event in progress.events if event.what == "raised"]
            if hour < 11:
                stack.enter_context(contextlib.closing(app(server)))
    raised = dict(seen)
    assert raised["database.sessions_exhausted/days-left"] < raised["database.sessions_near_limit"]
    assert raised["database.sessions_near_limit"] < 12
