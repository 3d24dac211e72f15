"""Breaks experiment tracking: MLflow, its PostgreSQL, its object store; each for real, each undone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.lab.systems import swift
from sickbay.lab.systems.processes import wait_until
from sickbay.lab.systems.tracking import BUCKET, DATABASE, PASSWORD, ROLE, STORE_SECRET, STORE_USER, Hammer, Tracking
from sickbay.registry import fault


@fault(produces="tracking-server-down", system="tracking")
def stop_tracking_server(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Stops the tracking server: orderly, or by a kill."""
    if seed % 2:
        system.server.running().kill()
    else:
        system.server.stop()
    yield
    system.server.restart()


@fault(produces="tracking-server-down", system="tracking")
def freeze_tracking_server(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Freezes the tracking server's processes: connections are taken, nothing answers."""
    server = system.server.running()
    server.freeze()
    yield
    server.thaw()


@fault(produces="tracking-database-unreachable", system="tracking")
def cut_database(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Cuts the line to the database: connections are refused."""
    system.to_database.set("refuse")
    yield
    system.to_database.set("pass")


@fault(produces="tracking-database-unreachable", system="tracking")
def hang_database(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the line to the database hang: connections are taken, nothing comes through."""
    system.to_database.set("hang")
    yield
    system.to_database.set("pass")


@fault(produces="tracking-database-unreachable", system="tracking")
def freeze_database(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Freezes the database server and all its sessions."""
    system.database.server.freeze()
    yield
    system.database.server.thaw()


@fault(produces="tracking-database-unreachable", system="tracking")
def rotate_database_password(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Gives the server's database role another password, and does not tell the server; old sessions are ended."""
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
    system.database.execute(f"ALTER ROLE {ROLE} PASSWORD 'rotated-{seed}'", end)
    yield
    system.database.execute(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")


@fault(produces="database-connections-exhausted", system="tracking")
def hold_sessions(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Opens sessions under the application's role until the database lets no more in, and holds them, idle."""
    import psycopg

    address = f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1:{system.database.port}/{DATABASE}"
    held = []
    # the server's own idle sessions are ended, so that it has to ask for new ones like after any pause
    try:
        for _ in range(2):
            system.database.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}' AND state = 'idle' "
                "AND application_name <> 'notebook'"
            )
            while True:
                try:
                    con = psycopg.connect(address, autocommit=bool(seed % 2), application_name="notebook")
                    con.execute("SELECT 1")
                    held.append(con)
                except psycopg.OperationalError:
                    break
        yield
    finally:
        for con in held:
            con.close()


@fault(produces="database-storage-full", system="tracking")
def fill_database_disk(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Lets a table grow until the database's disk is full; the disk is a real file system of limited size."""
    import psycopg

    if not system.limited:
        from sickbay.errors import UserError

        raise UserError("the database's disk has no limit on this machine", hint="it needs Linux mount namespaces")
    system.database.execute("CREATE TABLE audit_trail (note text) WITH (autovacuum_enabled = false)", database=DATABASE)
    with system.database.connect(DATABASE) as con:
        for rows in (20_000, 2_000, 100, 5):  # ever smaller steps, so that no block is left
            while True:
                try:
                    con.execute(f"INSERT INTO audit_trail SELECT repeat('x', 1000) FROM generate_series(1, {rows})")
                except psycopg.errors.DiskFull:
                    break
    yield
    system.database.execute("DROP TABLE audit_trail", "CHECKPOINT", database=DATABASE)


@fault(produces="database-schema-outdated", system="tracking")
def wind_schema_back(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Takes the schema back by a release while the server runs: what newer code reads is no longer there."""
    with system.database.connect(DATABASE) as con:
        now = con.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        con.execute("UPDATE alembic_version SET version_num = %s", (earlier(now),))
        con.execute("ALTER TABLE registered_model_aliases RENAME TO registered_model_aliases_later")
        con.execute("ALTER TABLE experiments RENAME COLUMN last_update_time TO last_update_time_later")
    yield
    with system.database.connect(DATABASE) as con:
        con.execute("ALTER TABLE registered_model_aliases_later RENAME TO registered_model_aliases")
        con.execute("ALTER TABLE experiments RENAME COLUMN last_update_time_later TO last_update_time")
        con.execute("UPDATE alembic_version SET version_num = %s", (now,))


@fault(produces="database-schema-outdated", system="tracking", shows_within=30)
def upgrade_server_alone(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Starts the server on the schema of an earlier release, as after an upgrade of it alone: it ends at once."""
    with system.database.connect(DATABASE) as con:
        now = con.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        con.execute("UPDATE alembic_version SET version_num = %s", (earlier(now),))
    system.server.stop()
    system.server.launch()
    server = system.server.running()
    wait_until(lambda: not server.running(), 120, "the server ending on a schema that is not its own")
    yield
    with system.database.connect(DATABASE) as con:
        con.execute("UPDATE alembic_version SET version_num = %s", (now,))
    system.server.restart()


@fault(produces="artifact-store-unreachable", system="tracking")
def cut_store(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Cuts the line to the object store: connections are refused."""
    system.to_store.set("refuse")
    yield
    system.to_store.set("pass")


@fault(produces="artifact-store-unreachable", system="tracking")
def freeze_store(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Freezes the object store's front: connections are taken, nothing answers."""
    system.store.servers["proxy"].freeze()
    yield
    system.store.servers["proxy"].thaw()


@fault(produces="artifact-permission-denied", system="tracking")
def rotate_store_key(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Gives the server's user of the object store another secret, and does not tell the server."""
    system.store.set_user(STORE_USER, f"rotated-{seed}", full=True)
    yield
    system.store.set_user(STORE_USER, STORE_SECRET, full=True)


@fault(produces="artifact-permission-denied", system="tracking")
def withdraw_store_right(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Withdraws the server's right on the bucket: its key is good, the answer is no."""
    system.store.set_user(STORE_USER, STORE_SECRET, full=False)
    yield
    system.store.set_user(STORE_USER, STORE_SECRET, full=True)


@fault(produces="artifact-storage-full", system="tracking")
def use_up_store_quota(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Sets the bucket's quota to what it holds: reading works, writing is refused."""
    swift.set_quota(system.store, BUCKET, 4096)
    yield
    swift.set_quota(system.store, BUCKET, None)


@fault(produces="tracking-server-overloaded", system="tracking", shows_within=20)
def search_slowly(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Lets many clients search at once what the database takes long to find, until every worker is taken."""
    pause = float(np.random.default_rng(seed).uniform(0.2, 0.5))
    with system.database.connect(DATABASE) as con:  # every row that a search reads takes its time
        con.execute("ALTER TABLE params RENAME TO params_kept")
        con.execute(
            "CREATE VIEW params AS SELECT p.* FROM params_kept p, LATERAL (SELECT pg_sleep("
            f"{pause:.3f} + 0 * length(p.key)) IS NULL AS slow) s WHERE s.slow IS NOT NULL"
        )
        con.execute(f"GRANT SELECT ON params TO {ROLE}")
    body = {"experiment_ids": ["1"], "filter": "params.depth != '9'", "max_results": 50}
    clients = Hammer(f"{system.server.url}/api/2.0/mlflow/runs/search", body, int(48 + 16 * strength))
    try:
        wait_until(lambda: system.server.ask("/version", 1.0) == 0, 60, "every worker being taken")
    except BaseException:
        clients.stop()
        raise
    yield
    clients.stop()
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}' AND state = 'active'"
    wait_until(lambda: not (system.database.execute(end) > 0 or clients.busy()), 120, "the searches ending")
    system.database.execute("DROP VIEW params", "ALTER TABLE params_kept RENAME TO params", database=DATABASE)


@fault(produces="", system="tracking")
def restart_tracking_server(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Restarts the tracking server, as a roll-out does: it is away for some seconds and comes back by itself."""
    system.server.stop()
    system.server.launch()
    yield
    system.wait_healthy()


@fault(produces="", system="tracking")
def open_notebooks(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Opens sessions under another role, well under the limit, as notebooks that were left open do."""
    held = [system.database.connect(DATABASE) for _ in range(int(5 + 15 * strength))]
    yield
    for con in held:
        con.close()


@fault(produces="", system="tracking")
def search_once_slowly(system: Tracking, *, seed: int, strength: float) -> Iterator[None]:
    """Lets one client search over and over; nobody has to wait for it."""
    body = {"experiment_ids": ["1"], "filter": "metrics.auc > 0.5", "max_results": 1000}
    client = Hammer(f"{system.server.url}/api/2.0/mlflow/runs/search", body, 1)
    yield
    client.stop()


def earlier(revision: str) -> str:
    """Return the schema's revision of some releases before, as an old database would have it."""
    from sickbay.probes.database import mlflow_revisions

    chain, heads = mlflow_revisions()
    place = chain.index(revision) if revision in chain else len(chain) - 1
    known = [chain.index(head) for head in heads.values() if chain.index(head) < place]
    return chain[max(known)]
